"""The ledger: answers are saved as they come, so that a killed run resumes where it was.

A key covers everything that shapes an answer, so a changed model, prompt or sampling parameter is
never answered with an old text.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humpback_pipeline.storage import write_text_atomic

Answer = dict[str, Any]

logger = logging.getLogger(__name__)


class LedgerBusyError(RuntimeError):
    """Another process is writing the same ledger."""


@dataclass(frozen=True)
class Ledger:
    """An append-only JSONL file of `{"key": …, "answer": …, "crc32": …}` for one piece of work."""

    path: Path

    def part(self, name: str) -> Ledger:
        """The ledger of one pass of several over the same records: `<stem>.<name>.jsonl` beside."""
        return Ledger(self.path.with_name(f"{self.path.stem}.{name}.jsonl"))

    def read(self) -> dict[str, Answer]:
        """Key → answer. Lines that a kill or a disk has damaged are left out, with a warning."""
        answers, n_damaged = self._read()
        if n_damaged:
            logger.warning(
                "%s: %d damaged line(s), as a kill or a full disk leaves them; what they held is "
                "asked again",
                self.path,
                n_damaged,
            )
        return answers

    def append(self, answers: Mapping[str, Answer]) -> None:
        """Add answers and flush them to disk; all or none of them.

        Raises OSError, such as for a full disk; the ledger is then as it was.
        """
        if not answers:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        begin = b"\n" if self._is_torn() else b""
        lines = begin + b"".join(_line(key, answer) for key, answer in answers.items())
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            size = os.fstat(descriptor).st_size
            try:
                while lines:
                    lines = lines[os.write(descriptor, lines) :]
                os.fsync(descriptor)
            except OSError as error:
                with suppress(OSError):
                    os.ftruncate(descriptor, size)
                raise OSError(
                    error.errno, f"{error.strerror}; answers cannot be saved", str(self.path)
                ) from error
        finally:
            os.close(descriptor)

    def keep_only(self, keys: set[str]) -> None:
        """Drop the answers to anything but `keys`, such as those of an older model."""
        answers, n_damaged = self._read()
        if n_damaged or answers.keys() - keys:
            kept = (_line(key, answer) for key, answer in answers.items() if key in keys)
            write_text_atomic(self.path, b"".join(kept).decode())

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

    def _read(self) -> tuple[dict[str, Answer], int]:
        """Key → answer, and how many lines were no use."""
        if not self.path.is_file():
            return {}, 0
        answers: dict[str, Answer] = {}
        n_damaged = 0
        with self.path.open("rb") as file:
            for line in file:
                entry = _entry(line)
                if entry is None:
                    n_damaged += bool(line.strip())
                else:
                    answers[entry[0]] = entry[1]
        return answers, n_damaged

    def _is_torn(self) -> bool:
        if not self.path.is_file() or self.path.stat().st_size == 0:
            return False
        with self.path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"


def _line(key: str, answer: Answer) -> bytes:
    # The checksum tells a line with a damaged byte from a whole one: both may be valid JSON.
    entry = {"key": key, "answer": answer, "crc32": _crc32(key, answer)}
    return f"{json.dumps(entry)}\n".encode()


def _entry(line: bytes) -> tuple[str, Answer] | None:
    try:
        entry = json.loads(line)
        key, answer = entry["key"], entry["answer"]
        whole = isinstance(answer, dict) and entry["crc32"] == _crc32(key, answer)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return (key, answer) if whole else None


def _crc32(key: str, answer: Answer) -> int:
    return zlib.crc32(json.dumps([key, answer]).encode())


def ledger_key(record_id: str, method: str, **facts: Any) -> str:
    """SHA-256 of a record's id, what is asked of it, and every fact that shapes the answer."""
    text = json.dumps([record_id, method, facts], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
