"""The ledger: answers are saved as they come, so that a killed run resumes where it was.

A key covers everything that shapes an answer, so a changed model, prompt or sampling parameter is
never answered with an old text.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from humpback_pipeline.progress import OnProgress, ProgressMeter, ignore_progress
from humpback_pipeline.storage import write_text_atomic

Record = TypeVar("Record")
Answer = dict[str, Any]


class LedgerBusyError(RuntimeError):
    """Another process is writing the same ledger."""


@dataclass(frozen=True)
class Ledger:
    """An append-only JSONL file of `{"key": …, "answer": …}`, one for an asset and partition."""

    path: Path

    def read(self) -> dict[str, Answer]:
        """Key → answer. A torn last line, from a writer that was killed, is left out."""
        return {key: answer for key, answer, _ in self._entries()}

    def append(self, answers: Mapping[str, Answer]) -> None:
        """Add answers and flush them to disk."""
        lines = [json.dumps({"key": key, "answer": answer}) for key, answer in answers.items()]
        if not lines:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        torn = self._is_torn()
        with self.path.open("ab") as file:
            file.write(("\n" if torn else "").encode() + "".join(f"{n}\n" for n in lines).encode())
            file.flush()
            os.fsync(file.fileno())

    def keep_only(self, keys: set[str]) -> None:
        """Drop the answers to anything but `keys`, such as those of an older model."""
        lines = {key: line for key, _, line in self._entries()}
        if lines.keys() - keys:
            kept = "".join(f"{line}\n" for key, line in lines.items() if key in keys)
            write_text_atomic(self.path, kept)

    @contextmanager
    def locked(self, timeout_s: float = 5.0) -> Iterator[None]:
        """Hold the ledger for this process. Raises LedgerBusyError if another one does."""
        from filelock import FileLock, Timeout

        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = self.path.with_suffix(".lock")
        try:
            with FileLock(lock, timeout=timeout_s):
                yield
        except Timeout as error:
            raise LedgerBusyError(
                f"{self.path}: another run is doing this very work; wait for it or stop it."
            ) from error

    def _entries(self) -> Iterator[tuple[str, Answer, str]]:
        if not self.path.is_file():
            return
        with self.path.open("rb") as file:
            for line in file:
                try:
                    entry = json.loads(line)
                    yield entry["key"], entry["answer"], line.decode().rstrip("\n")
                except (ValueError, KeyError, TypeError):
                    continue  # torn by a kill; the request is simply answered again

    def _is_torn(self) -> bool:
        if not self.path.is_file() or self.path.stat().st_size == 0:
            return False
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"


def ledger_key(record_id: str, method: str, **facts: Any) -> str:
    """SHA-256 of a record's id, what is asked of it, and every fact that shapes the answer."""
    text = json.dumps([record_id, method, facts], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def answer_with_ledger(
    records: Sequence[Record],
    keys: Sequence[str],
    answer_chunk: Callable[[list[Record]], Sequence[Answer]],
    *,
    ledger: Ledger | None,
    chunk_size: int,
    stage: str,
    unit: str,
    on_progress: OnProgress = ignore_progress,
    describe: Callable[[Record, Answer], str] | None = None,
) -> list[Answer]:
    """Answers to `records`, in their order; those already in the ledger are not asked again.

    `keys` holds one `ledger_key` a record; records of equal key are answered once. Each chunk is on
    disk before the next begins. Once all are answered, the ledger forgets other keys. `describe`
    makes the last record and its answer a few words for the progress line. Raises LedgerBusyError.
    """
    describe = describe or _say_nothing
    if ledger is None:
        meter = ProgressMeter(stage, len(set(keys)), unit, on_progress)
        return _answer(records, keys, answer_chunk, {}, None, chunk_size, meter, describe)
    with ledger.locked():
        known = ledger.read()
        n_missing = len(set(keys) - known.keys())
        meter = ProgressMeter(stage, n_missing, unit, on_progress)
        answers = _answer(records, keys, answer_chunk, known, ledger, chunk_size, meter, describe)
        ledger.keep_only(set(keys))
    return answers


def _answer(
    records: Sequence[Record],
    keys: Sequence[str],
    answer_chunk: Callable[[list[Record]], Sequence[Answer]],
    known: dict[str, Answer],
    ledger: Ledger | None,
    chunk_size: int,
    meter: ProgressMeter,
    describe: Callable[[Record, Answer], str],
) -> list[Answer]:
    missing = {key: record for key, record in zip(keys, records, strict=True) if key not in known}
    todo = list(missing.items())
    n_known = len(set(keys)) - len(todo)
    reused = f"{n_known:,} more were in the ledger" if n_known else ""
    for start in range(0, len(todo), chunk_size):
        chunk = todo[start : start + chunk_size]
        answered = answer_chunk([record for _, record in chunk])
        fresh = {key: answer for (key, _), answer in zip(chunk, answered, strict=True)}
        if ledger is not None:
            ledger.append(fresh)
        known.update(fresh)
        key, record = chunk[-1]
        sample = describe(record, fresh[key])
        meter.advance(len(chunk), " · ".join(text for text in (reused, sample) if text))
    return [known[key] for key in keys]


def _say_nothing(record: object, answer: Answer) -> str:
    return ""
