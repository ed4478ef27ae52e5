"""JSON Lines and JSON files as a stream of decoded records, each with its line number."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from humpback_pipeline.seeds.files import unreadable
from humpback_pipeline.seeds.limits import MAX_JSON_BYTES, MAX_LINE_BYTES, ByteBudget
from humpback_pipeline.seeds.records import RecordFault, SeedDataError, describe_value

_DRAIN_BYTES = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()

BinaryStream = BinaryIO | gzip.GzipFile


@dataclass(frozen=True, slots=True)
class RawRecord:
    """A decoded record and the line (in Parquet the row) it begins on, counted from 1."""

    line: int
    value: Any


def read_jsonl(file: Path, budget: ByteBudget) -> Iterator[RawRecord | RecordFault]:
    """Yield the records of a JSON Lines file (gzip if so named); a bad line yields a RecordFault.

    Raises SeedDataError: damaged gzip, unreadable file, more data than `budget` allows.
    """
    with _opened(file) as stream:
        for number, line in enumerate(_bounded_lines(file, stream, budget), start=1):
            if line is None:
                yield RecordFault(
                    "line_too_long",
                    "(line)",
                    f"more than {MAX_LINE_BYTES:,} bytes without a line break",
                    "write one JSON object per line; a JSON list belongs in a file named .json",
                    number,
                )
            elif line.strip():
                yield _decoded_line(number, line)


def read_json(file: Path, budget: ByteBudget) -> Iterator[RawRecord]:
    """Yield the elements of a JSON file holding a list, or an object with a list named "data".

    Elements are decoded one by one. Raises SeedDataError: any syntax error (what follows it cannot
    be read), another layout, a file over MAX_JSON_BYTES, damaged gzip.
    """
    with _opened(file) as stream:
        try:
            content = stream.read(MAX_JSON_BYTES + 1)
        except (EOFError, zlib.error, OSError) as error:
            raise _damaged(file, 0, error) from error
    budget.spend(len(content), file)
    if len(content) > MAX_JSON_BYTES:
        raise SeedDataError(
            f"{file}: more than {MAX_JSON_BYTES:,} bytes of JSON in one document. "
            "Remedy: convert it to JSON Lines (one object per line, named .jsonl), which is "
            "read as a stream."
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _bad_json(file, line, "bytes that are not UTF-8") from error
    yield from _elements(file, text)


def _elements(file: Path, text: str) -> Iterator[RawRecord]:
    position = _start_of_list(file, text)
    line, counted = 1, 0
    position = _skip_space(text, position)
    while not text.startswith("]", position):
        line, counted = line + text.count("\n", counted, position), position
        value, position = _decoded(file, text, position)
        yield RawRecord(line, value)
        position = _skip_space(text, position)
        if text.startswith(",", position):
            position = _skip_space(text, position + 1)
        elif not text.startswith("]", position):
            raise _syntax_error(file, text, position, "expected ',' or ']'")


def _start_of_list(file: Path, text: str) -> int:
    position = _skip_space(text, 0)
    if text.startswith("[", position):
        return position + 1
    if not text.startswith("{", position):
        raise _syntax_error(file, text, position, "expected a list of objects")
    position = _skip_space(text, position + 1)
    while text.startswith('"', position):
        key, position = _decoded(file, text, position)
        position = _skip_space(text, position)
        if not text.startswith(":", position):
            raise _syntax_error(file, text, position, "expected ':'")
        position = _skip_space(text, position + 1)
        if key == "data" and text.startswith("[", position):
            return position + 1
        _, position = _decoded(file, text, position)
        position = _skip_space(text, position)
        if not text.startswith(",", position):
            break
        position = _skip_space(text, position + 1)
    raise _bad_json(
        file,
        1,
        'an object without a list named "data"',
        'make the file a list of objects, or {"data": [...]}; if it has one object per line, '
        "rename it to .jsonl",
    )


def _decoded(file: Path, text: str, position: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError as error:
        raise _syntax_error(file, text, error.pos, error.msg) from error
    except (ValueError, RecursionError) as error:
        raise _syntax_error(file, text, position, str(error)) from error


def _decoded_line(number: int, line: bytes) -> RawRecord | RecordFault:
    remedy = "make the line one JSON object in UTF-8, or remove it"
    try:
        text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        return RawRecord(number, json.loads(text))
    except UnicodeDecodeError:
        return RecordFault("invalid_json", "(line)", "bytes that are not UTF-8", remedy, number)
    except json.JSONDecodeError as error:
        found = f"{describe_value(text.strip())} ({error.msg} at column {error.colno})"
        return RecordFault("invalid_json", "(line)", found, remedy, number)
    except (ValueError, RecursionError) as error:
        # Over-long integers and very deep nesting.
        found = f"{describe_value(text.strip())} ({str(error)[:80]})"
        return RecordFault("invalid_json", "(line)", found, remedy, number)


def _bounded_lines(file: Path, stream: BinaryStream, budget: ByteBudget) -> Iterator[bytes | None]:
    """Yield lines; None for one over the limit, which is read past without being held."""
    number = 0
    try:
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            budget.spend(len(line), file, number)
            if len(line) <= MAX_LINE_BYTES:
                yield line
                continue
            while not line.endswith(b"\n") and (line := stream.readline(_DRAIN_BYTES)):
                budget.spend(len(line), file, number)
            yield None
    except (EOFError, zlib.error, OSError) as error:
        raise _damaged(file, number, error) from error


def _opened(file: Path) -> BinaryStream:
    try:
        return gzip.open(file, "rb") if file.name.lower().endswith(".gz") else file.open("rb")
    except OSError as error:
        raise unreadable(file, error) from error


def _damaged(file: Path, line: int, error: Exception) -> SeedDataError:
    if isinstance(error, OSError) and not isinstance(error, gzip.BadGzipFile):
        return unreadable(file, error)
    return SeedDataError(
        f"{file}: damaged or not gzip after line {line} ({error}). "
        "Remedy: fetch the file again; if it is not compressed, drop .gz from its name."
    )


def _skip_space(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return match.end() if match else position


def _syntax_error(file: Path, text: str, position: int, problem: str) -> SeedDataError:
    rest = text[position : position + 60]
    found = describe_value(rest, 40) if rest else "the end of the file"
    line = text.count("\n", 0, position) + 1
    return _bad_json(file, line, f"{found} ({problem[:80]})")


def _bad_json(file: Path, line: int, found: str, remedy: str | None = None) -> SeedDataError:
    fault = RecordFault(
        "invalid_json", "(document)", found, remedy or "mend the JSON; it must be UTF-8", line
    )
    return SeedDataError(str(record := fault.at(str(file))), record)
