"""Reading what is measured on: labelled pairs, preferences (how good is the selection?) and
evaluation prompts (how good a model?).

All are small sets that figures are computed from, so any bad record stops the reading.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from humpback_pipeline.seeds.fields import (
    INPUT_FIELDS,
    INSTRUCTION_FIELDS,
    OUTPUT_FIELDS,
    checked_object,
    checked_text,
    instruction_of,
    text_of,
)
from humpback_pipeline.seeds.files import StrPath, data_set_name, find_data_files
from humpback_pipeline.seeds.limits import ByteBudget
from humpback_pipeline.seeds.parsing import RawRecord
from humpback_pipeline.seeds.reading import read_records
from humpback_pipeline.seeds.records import (
    EvaluationPrompt,
    LabelledPair,
    RecordFault,
    SeedDataError,
    describe_keys,
    describe_value,
)
from humpback_pipeline.seeds.text import content_id

LABEL_FIELDS = ("label", "high_quality", "quality")
# AlpacaEval calls the reference answer "output"; its "reference" is the model that wrote it.
REFERENCE_FIELDS = ("reference_output", *OUTPUT_FIELDS)
_LABELS = {"good": 1, "bad": 0, "true": 1, "false": 0, "1": 1, "0": 0}
_SHARED = (*INSTRUCTION_FIELDS, *INPUT_FIELDS, "id")
_DRAW = 1.5

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Preference:
    """Two outputs for one prompt, and which a judge or a person prefers.

    preference: 1.0 (output_1 is preferred) to 2.0 (output_2 is); 1.5 is a draw; None where the
    judge gave no verdict. An output may be empty.
    """

    prompt_id: str
    instruction: str
    output_1: str
    output_2: str
    preference: float | None

    @property
    def preferred(self) -> int | None:
        """1 or 2; None for a draw or no verdict."""
        if self.preference is None or self.preference == _DRAW:
            return None
        return 2 if self.preference > _DRAW else 1


def read_labelled_pairs(path: StrPath) -> list[LabelledPair]:
    """Read pairs labelled by humans: label 1 = high quality, 0 = not.

    The label stands under label, high_quality or quality as 0/1, a boolean or 'good'/'bad'; `kind`
    is optional. Given ids (pair_id, id) are kept and must be unique; missing ones are made from
    the content, with a number where the content repeats. No pair is dropped.

    Raises SeedDataError as `read_seed_pairs` under 'stop', and when only one label occurs.
    """
    ids = _Ids("labelled", "pair_id")

    def labelled_pair(record: dict[str, Any], _: str) -> LabelledPair:
        instruction = instruction_of(record)
        output = text_of(record, OUTPUT_FIELDS, "output")
        label = _label(record)
        pair_id = ids.of(record, instruction, output)
        return LabelledPair(pair_id, instruction, output, label, _optional(record, "kind"))

    columns = (*_SHARED, *OUTPUT_FIELDS, *LABEL_FIELDS, "pair_id", "kind")
    pairs = list(_read(path, labelled_pair, columns, "the recipe's path of the labelled pairs"))
    if len({pair.label for pair in pairs}) < 2:
        raise SeedDataError(
            f"{path}: every label is {pairs[0].label}, so precision and recall say nothing. "
            "Remedy: give pairs of both labels, 0 and 1."
        )
    return pairs


def read_evaluation_prompts(path: StrPath) -> list[EvaluationPrompt]:
    """Read evaluation prompts with reference answers, in AlpacaEval's shape or plain pairs.

    The reference stands under reference_output or output and may be empty (AlpacaEval has two
    such); category, dataset and generator (who wrote it; AlpacaEval's prompts say so in reference)
    are optional, dataset defaulting to the file's name. Given ids (prompt_id, id) are kept and must
    be unique; missing ones are made from the instruction.

    Raises SeedDataError as `read_seed_pairs` under 'stop'.
    """
    ids = _Ids("prompt", "prompt_id")

    def prompt(record: dict[str, Any], data_set: str) -> EvaluationPrompt:
        instruction = instruction_of(record)
        reference = text_of(record, REFERENCE_FIELDS, "reference", may_be_empty=True)
        return EvaluationPrompt(
            ids.of(record, instruction),
            instruction,
            reference,
            _optional(record, "category"),
            _optional(record, "dataset") or data_set,
            _optional(record, "generator") or _reference_writer(record),
        )

    own = ("prompt_id", "category", "dataset", "generator", "reference")
    columns = (*_SHARED, *REFERENCE_FIELDS, *own)
    return list(_read(path, prompt, columns, "the recipe's path of the evaluation prompts"))


def read_preferences(path: StrPath) -> list[Preference]:
    """Read pairwise annotations in AlpacaEval's shape.

    Fields instruction, output_1, output_2 and preference, a number (or one in quotes) from 1 to 2;
    0 is AlpacaEval's older spelling of a draw, null of no verdict. Given ids (prompt_id, id) are
    kept and must be unique; missing ones are made from the content.

    Raises SeedDataError as `read_seed_pairs` under 'stop', and when no annotation prefers one.
    """
    ids = _Ids("preference", "prompt_id")

    def preference(record: dict[str, Any], _: str) -> Preference:
        instruction = instruction_of(record)
        first = text_of(record, ("output_1",), "output", may_be_empty=True)
        second = text_of(record, ("output_2",), "output", may_be_empty=True)
        prompt_id = ids.of(record, instruction, first, second)
        return Preference(prompt_id, instruction, first, second, _preference(record))

    columns = (*_SHARED, "output_1", "output_2", "preference", "prompt_id")
    read = list(_read(path, preference, columns, "the recipe's path of the preferences"))
    if all(row.preferred is None for row in read):
        raise SeedDataError(
            f"{path}: none of {len(read)} annotations prefers an output. Remedy: give preferences "
            "below 1.5 (output_1 is better) or above (output_2 is)."
        )
    return read


class _Ids:
    """Hands out unique ids: the given one, or one made from the content."""

    def __init__(self, prefix: str, own_field: str) -> None:
        self._prefix, self._fields = prefix, (own_field, "id")
        self._seen: set[str] = set()

    def of(self, record: dict[str, Any], *content: str) -> str:
        for name in self._fields:
            if record.get(name) is not None:
                return self._given(name, record[name])
        made = unique = content_id(self._prefix, *content)
        number = 1
        while unique in self._seen:
            number += 1
            unique = f"{made}-{number}"
        self._seen.add(unique)
        return unique

    def _given(self, name: str, value: Any) -> str:
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63:
            value = str(value)
        given = text_of({name: value}, (name,), "id")
        if given in self._seen:
            remedy = "make the ids unique, or leave them all out"
            raise RecordFault("duplicate_id", name, f"{describe_value(given)} again", remedy)
        self._seen.add(given)
        return given


def _read(
    path: StrPath,
    interpret: Callable[[dict[str, Any], str], Row],
    columns: tuple[str, ...],
    setting: str,
) -> Iterator[Row]:
    budget, n_rows = ByteBudget(), 0
    for file in find_data_files(path, setting):
        for record in read_records(file, budget, columns):
            try:
                if not isinstance(record, RawRecord):
                    raise record
                yield interpret(checked_object(record.value), data_set_name(file))
            except RecordFault as fault:
                bad = fault.at(str(file), record.line)
                raise SeedDataError(str(bad), bad) from fault
            n_rows += 1
    if not n_rows:
        raise SeedDataError(
            f"{path}: the data hold no record. Remedy: set {setting} to a file with records."
        )


def _label(record: dict[str, Any]) -> int:
    remedy = "label the pair 1 or 'good', 0 or 'bad', under one of " + ", ".join(LABEL_FIELDS)
    for name in LABEL_FIELDS:
        value = record.get(name)
        if value is None:
            continue
        # bool is an int to Python, and 1.0 == 1, as Parquet may have it.
        if isinstance(value, int | float) and value in (0, 1):
            return int(value)
        if isinstance(value, str) and value.strip().lower() in _LABELS:
            return _LABELS[value.strip().lower()]
        raise RecordFault("wrong_label", name, describe_value(value), remedy)
    found = f"only the fields {describe_keys(list(record))}"
    raise RecordFault("missing_field", LABEL_FIELDS[0], found, remedy)


def _preference(record: dict[str, Any]) -> float | None:
    name, remedy = "preference", "write a number from 1 (output_1 is better) to 2 (output_2 is)"
    if name not in record:
        found = f"only the fields {describe_keys(list(record))}"
        raise RecordFault("missing_field", name, found, remedy)
    value = record[name]
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if number == 0:
        return _DRAW
    if not 1 <= number <= 2:
        raise RecordFault("wrong_preference", name, describe_value(value), remedy)
    return number


def _reference_writer(record: dict[str, Any]) -> str:
    return _optional(record, "reference") if "reference_output" in record else ""


def _optional(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    return "" if value is None else checked_text(name, value)
