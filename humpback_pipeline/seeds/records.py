"""The records of this room: pairs, labelled pairs, evaluation prompts, and what was refused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeGuard

Split = Literal["train", "dev"]
OnBadRecord = Literal["stop", "count"]


@dataclass(frozen=True, slots=True)
class SeedPair:
    """One human-written (instruction, output) pair.

    `pair_id` is a hash of the normalised content, so it is the same whatever file format the pair
    came in. `source` names the data set, for grouping.
    """

    pair_id: str
    instruction: str
    output: str
    source: str
    split: Split


@dataclass(frozen=True, slots=True)
class LabelledPair:
    """A pair a human judged: `label` 1 = high quality, 0 = not; `kind` says how it was made."""

    pair_id: str
    instruction: str
    output: str
    label: int
    kind: str


@dataclass(frozen=True, slots=True)
class EvaluationPrompt:
    """A prompt to answer; `output` is the reference answer it is compared with (may be empty).

    generator: the model or person that wrote the reference, where the file says so.
    """

    prompt_id: str
    instruction: str
    output: str
    category: str
    dataset: str
    generator: str = ""


@dataclass(frozen=True, slots=True)
class BadRecord:
    """One record that could not be used.

    `line` counts from 1 (the row, in Parquet); `reason` is the key it has in `SeedPairs.dropped`;
    `found` is what stood there.
    """

    file: str
    line: int
    field: str
    reason: str
    found: str
    remedy: str

    def __str__(self) -> str:
        unit = "row" if self.file.lower().endswith(".parquet") else "line"
        return (
            f"{self.file}, {unit} {self.line}, field '{self.field}': "
            f"{self.reason.replace('_', ' ')}, found {self.found}. Remedy: {self.remedy}"
        )


@dataclass(frozen=True, slots=True)
class SeedPairs:
    """What reading a seed file or directory gave.

    `dropped` maps a reason to the number of records it cost; `bad_records` holds the first ones of
    those that were malformed rather than filtered (at most `MAX_BAD_RECORDS_KEPT`). `format` is the
    detected format, several joined by '+'. `content_hash` is `seed_content_hash` of what was read.
    """

    pairs: list[SeedPair]
    dropped: dict[str, int]
    bad_records: list[BadRecord]
    format: str
    content_hash: str


class SeedDataError(ValueError):
    """Seed, labelled or evaluation data that cannot be used; the message ends with the remedy.

    `record` is the offending record where there is one, else None (the whole file is at fault).
    """

    def __init__(self, message: str, record: BadRecord | None = None) -> None:
        super().__init__(message)
        self.record = record


class RecordFault(Exception):  # noqa: N818 - a verdict on one record, turned into a BadRecord
    """Raised while one record is interpreted; the reader adds file and line."""

    def __init__(self, reason: str, field: str, found: str, remedy: str, line: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.field, self.found, self.remedy = reason, field, found, remedy
        self.line = line

    def at(self, file: str, line: int | None = None) -> BadRecord:
        """Return the fault as a BadRecord of `file` (at `line`, or the fault's own)."""
        at_line = self.line if line is None else line
        return BadRecord(file, at_line, self.field, self.reason, self.found, self.remedy)


def describe_value(value: Any, limit_chars: int = 60) -> str:
    """Show a value in an error message: its JSON type and the beginning of it."""
    if value is None:
        return "null"
    if isinstance(value, str):
        short = value if len(value) <= limit_chars else value[:limit_chars] + "…"
        return f"the string {short!a}" if short else "an empty string"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return f"an object with keys {describe_keys(list(value))}"
    if isinstance(value, list):
        return f"a list of {len(value)}"
    # repr of a huge integer is refused by Python, and of an odd Parquet type may be long.
    try:
        return f"{type(value).__name__} {repr(value)[:limit_chars]}"
    except ValueError:
        return f"a very large {type(value).__name__}"


def describe_keys(keys: Sequence[Any], limit: int = 8) -> str:
    """List the keys of a record, the first `limit` of them."""
    shown = ", ".join(ascii(str(key)[:40]) for key in keys[:limit])
    return (shown or "none") + (", …" if len(keys) > limit else "")


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Tell whether a decoded value is a JSON object."""
    return isinstance(value, dict)
