"""From one decoded record to the instruction and output it holds, under the names in use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from humpback_pipeline.seeds.records import (
    RecordFault,
    describe_keys,
    describe_value,
    is_object,
)
from humpback_pipeline.seeds.text import clean_text, is_blank, is_encodable

INSTRUCTION_FIELDS = ("instruction", "prompt", "question")
OUTPUT_FIELDS = ("output", "response", "completion", "answer")
INPUT_FIELDS = ("input", "context")
TURN_FIELDS = ("conversations", "messages")
LANGUAGE_FIELDS = ("lang", "language")
PAIR_FIELDS = (
    *INSTRUCTION_FIELDS,
    *OUTPUT_FIELDS,
    *INPUT_FIELDS,
    *TURN_FIELDS,
    *LANGUAGE_FIELDS,
    "source",
)

_USER_ROLES = ("user", "human", "prompter")
_ASSISTANT_ROLES = ("assistant", "gpt", "model")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A well-formed pair before filtering; `declared` are the language codes its record names."""

    line: int
    instruction: str
    output: str
    source: str
    declared: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Dropped:
    """A well-formed record that is not wanted, and why."""

    reason: str


def is_plain_pair(record: Any) -> bool:
    """Tell whether a record has an instruction, or turns, under one of the usual names."""
    return is_object(record) and (
        any(isinstance(record.get(name), str) for name in INSTRUCTION_FIELDS)
        or any(isinstance(record.get(name), list) for name in TURN_FIELDS)
    )


def pair_of(line: int, record: Any, default_source: str) -> Candidate:
    """Read a plain pair: named fields, Alpaca's input, LIMA's conversations, or chat messages.

    Raises RecordFault: missing_field, wrong_type, empty_instruction, empty_output,
    invalid_unicode.
    """
    record = checked_object(record)
    turns = next((name for name in TURN_FIELDS if record.get(name) is not None), None)
    named = any(record.get(name) is not None for name in INSTRUCTION_FIELDS)
    if turns is not None and not named:
        instruction, output = _first_exchange(record[turns], turns)
    else:
        instruction = instruction_of(record)
        output = text_of(record, OUTPUT_FIELDS, "output")
    declared = (record.get(name) for name in LANGUAGE_FIELDS)
    source = record.get("source")
    usable_source = isinstance(source, str) and not is_blank(source) and is_encodable(source)
    return Candidate(
        line,
        instruction,
        output,
        clean_text(str(source)) if usable_source else default_source,
        tuple(code for code in declared if isinstance(code, str) and code),
    )


def instruction_of(record: dict[str, Any]) -> str:
    """Return the instruction, with Alpaca's `input` (Dolly's `context`) below a blank line.

    Raises RecordFault as `text_of`.
    """
    instruction = text_of(record, INSTRUCTION_FIELDS, "instruction")
    for name in INPUT_FIELDS:
        value = record.get(name)
        if value is None:
            continue
        text = checked_text(name, value)
        if not is_blank(text):
            return f"{instruction}\n\n{text}"
    return instruction


def text_of(
    record: dict[str, Any], names: Sequence[str], role: str, *, may_be_empty: bool = False
) -> str:
    """Return the cleaned text under the first of `names` that the record has.

    Raises RecordFault: missing_field, wrong_type, invalid_unicode, empty_{role}.
    """
    for name in names:
        value = record.get(name)
        if value is None:
            continue
        text = checked_text(name, value)
        if is_blank(text) and not may_be_empty:
            raise _empty(name, role, value)
        return text
    present = next((name for name in names if name in record), None)
    raise RecordFault(
        "missing_field",
        present or names[0],
        "null" if present else f"only the fields {describe_keys(list(record))}",
        f"give the record its {role} under one of the names {', '.join(names)}",
    )


def checked_object(record: Any) -> dict[str, Any]:
    """Return the record if it is a JSON object, else raise RecordFault (wrong_type)."""
    if not is_object(record):
        raise RecordFault(
            "wrong_type",
            "(record)",
            describe_value(record),
            'write every record as an object, such as {"instruction": "…", "output": "…"}',
        )
    return record


def checked_text(name: str, value: Any) -> str:
    """Return the cleaned string, else raise RecordFault (wrong_type or invalid_unicode)."""
    if not isinstance(value, str):
        raise RecordFault("wrong_type", name, describe_value(value), f"make '{name}' a string")
    if not is_encodable(value):
        raise RecordFault(
            "invalid_unicode",
            name,
            f"{describe_value(value)} with half of a surrogate pair",
            "write the text again as UTF-8, or remove the record",
        )
    return clean_text(value)


def _first_exchange(turns: Any, name: str) -> tuple[str, str]:
    if not isinstance(turns, list):
        remedy = f"make '{name}' a list of turns"
        raise RecordFault("wrong_type", name, describe_value(turns), remedy)
    if turns and all(isinstance(turn, str) for turn in turns):
        texts: list[tuple[str, Any]] = list(zip(itertools.cycle(("user", "assistant")), turns))
    else:
        texts = list(_role_and_text(name, turns))
    asked = next((i for i, (role, _) in enumerate(texts) if role in _USER_ROLES), None)
    answers = texts[asked + 1 :] if asked is not None else []
    answer = next((text for role, text in answers if role in _ASSISTANT_ROLES), None)
    if asked is None or answer is None:
        missing = "user turn" if asked is None else "assistant turn after the user's"
        raise RecordFault(
            "missing_field",
            name,
            f"no {missing} among {len(texts)}",
            f"give '{name}' a first user turn and its assistant turn",
        )
    question = checked_text(name, texts[asked][1])
    answer = checked_text(name, answer)
    if is_blank(question):
        raise _empty(name, "instruction", texts[asked][1])
    if is_blank(answer):
        raise _empty(name, "output", answer)
    return question, answer


def _role_and_text(name: str, turns: list[Any]) -> Iterator[tuple[str, Any]]:
    for number, turn in enumerate(turns, start=1):
        role = turn.get("role", turn.get("from")) if is_object(turn) else None
        text = turn.get("content", turn.get("value")) if is_object(turn) else None
        if not isinstance(role, str) or not isinstance(text, str):
            raise RecordFault(
                "wrong_type",
                name,
                f"turn {number}: {describe_value(turn)}",
                f"write every turn of '{name}' as a string, or as an object with the strings "
                "role and content",
            )
        yield role, text


def _empty(name: str, role: str, value: Any) -> RecordFault:
    remedy = f"write the {role}, or remove the record"
    return RecordFault(f"empty_{role}", name, describe_value(value), remedy)
