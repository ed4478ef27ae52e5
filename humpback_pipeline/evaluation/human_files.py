"""The files that judgements come in: our page's JSONL, CSV from a spreadsheet, Label Studio's JSON.

A record that cannot be read becomes a `BadJudgement` with file, record and reason; none stops the
reading, as people's hours are in the others.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humpback_pipeline.storage import hash_text

NOT_JSON, NO_PAIR, NO_CHOICE = "not_json", "no_pair_id", "no_choice"
UNREADABLE_FILE, UNKNOWN_FORMAT = "unreadable_file", "unknown_format"
SUFFIXES = (".csv", ".json", ".jsonl")
MAX_FOUND_CHARS = 80
# Far above any answer; the module's own limit is 128 KB, which one pasted log would break.
MAX_CELL_CHARS = 50_000_000
_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class BadJudgement:
    """A record that cannot be used. record: its number in the file, from 1; 0: the whole file."""

    file: str
    record: int
    reason: str
    found: str


@dataclass(frozen=True)
class RawJudgement:
    """A record as it stands. choice: empty if there is none yet. judged_at: ISO 8601 or empty."""

    file: str
    record: int
    pair_id: str
    annotator: str
    choice: str
    judged_at: str = ""

    def bad(self, reason: str, found: str) -> BadJudgement:
        """The same record as one that cannot be used."""
        return BadJudgement(self.file, self.record, reason, _cut(found))


Record = RawJudgement | BadJudgement


def judgement_files(folder: Path) -> list[Path]:
    """Files of judgements in a folder, by name; none if there is no such folder."""
    if not folder.is_dir():
        return []
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def read_file(path: Path) -> Iterator[Record]:
    """All records of one file, in its order. Raises OSError."""
    # A spreadsheet may have saved in the encoding of its country: ids and choices are ASCII.
    text = path.read_bytes().decode("utf-8-sig", errors="replace")
    readers = {".jsonl": _jsonl, ".csv": _csv, ".json": _label_studio}
    yield from readers[path.suffix.lower()](path, text)


def _jsonl(path: Path, text: str) -> Iterator[Record]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            yield BadJudgement(path.name, number, NOT_JSON, _cut(line))
            continue
        yield _flat(path, number, value)


def _csv(path: Path, text: str) -> Iterator[Record]:
    header = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=header.count)
    allowed = csv.field_size_limit(MAX_CELL_CHARS)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error as error:
        yield BadJudgement(path.name, 0, UNREADABLE_FILE, _cut(str(error)))
        return
    finally:
        csv.field_size_limit(allowed)
    for number, row in enumerate(rows, 1):
        yield _flat(path, number, row)


def _label_studio(path: Path, text: str) -> Iterator[Record]:
    try:
        tasks = json.loads(text)
    except (ValueError, RecursionError) as error:
        yield BadJudgement(path.name, 0, NOT_JSON, _cut(str(error)))
        return
    if not isinstance(tasks, list):
        yield BadJudgement(path.name, 0, UNKNOWN_FORMAT, "not a list of tasks")
        return
    for number, task in enumerate(tasks, 1):
        if isinstance(task, dict) and isinstance(task.get("data"), dict):
            yield from _task(path, number, task)
        else:  # Label Studio's JSON_MIN has the task's data and its answer side by side
            yield _flat(path, number, task, label_studio=True)


def _task(path: Path, number: int, task: dict[str, Any]) -> Iterator[Record]:
    pair_id = task["data"].get("pair_id")
    annotations = task.get("annotations")
    if not isinstance(annotations, list):
        annotations = []
    if not annotations:  # exported, but nobody has judged it
        yield _flat(path, number, {"pair_id": pair_id, "choice": ""}, label_studio=True)
    for annotation in annotations:
        if not isinstance(annotation, dict):
            yield BadJudgement(path.name, number, UNKNOWN_FORMAT, _cut(repr(annotation)))
            continue
        result = annotation.get("result")
        cancelled = annotation.get("was_cancelled") is True
        flat = {
            "pair_id": pair_id,
            "annotator": annotation.get("completed_by"),
            "choice": "" if cancelled else _chosen(result if isinstance(result, list) else []),
            "updated_at": annotation.get("updated_at") or annotation.get("created_at"),
        }
        yield _flat(path, number, flat, label_studio=True)


def _chosen(result: Iterable[Any]) -> Any:
    for region in result:
        if isinstance(region, dict) and region.get("from_name") == "choice":
            value = region.get("value")
            choices = value.get("choices") if isinstance(value, dict) else None
            if isinstance(choices, list) and len(choices) == 1:
                return choices[0]
    return None


def _flat(path: Path, number: int, value: Any, label_studio: bool = False) -> Record:
    """A record from an object with pair_id, choice and perhaps annotator and a time."""
    if not isinstance(value, dict):
        return BadJudgement(path.name, number, UNKNOWN_FORMAT, _cut(repr(value)))
    pair_id, choice = value.get("pair_id"), value.get("choice")
    if not isinstance(pair_id, str) or not pair_id.strip():
        return BadJudgement(path.name, number, NO_PAIR, _cut(repr(pair_id)))
    if isinstance(choice, int) and not isinstance(choice, bool):
        choice = str(choice)
    if not isinstance(choice, str):
        return BadJudgement(path.name, number, NO_CHOICE, _cut(repr(choice)))
    time = value.get("judged_at") or value.get("updated_at")
    return RawJudgement(
        path.name,
        number,
        pair_id.strip(),
        _annotator(value.get("annotator"), path.stem, label_studio),
        choice,
        time if isinstance(time, str) else "",
    )


def _annotator(given: Any, file: str, label_studio: bool) -> str:
    if isinstance(given, dict):  # Label Studio's user
        given = given.get("id")
    name = "" if given is None else str(given).strip()
    if "@" in name:  # an address would be carried into datasets and pages
        name = hash_text(name)[:8]
    name = name or file
    return f"label_studio_{name}" if label_studio else name


def _cut(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= MAX_FOUND_CHARS else flat[: MAX_FOUND_CHARS - 1] + "…"
