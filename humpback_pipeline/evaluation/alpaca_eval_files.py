"""AlpacaEval's own JSON, in and out: model outputs, reference outputs, annotations.

With these files its tool runs on our outputs and verdicts, and we read the ones it wrote. Source of
the format: github.com/tatsu-lab/alpaca_eval 0.6.6 (Apache-2.0), `results/<model>/`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from humpback_pipeline.storage import write_json_atomic

MODEL_OUTPUTS, REFERENCE_OUTPUTS = "model_outputs.json", "reference_outputs.json"
ANNOTATIONS = "annotations.json"


class AlpacaEvalFileError(ValueError):
    """A file is not in AlpacaEval's format; the message names the record and what is wrong."""


@dataclass(frozen=True)
class ModelOutput:
    """One answer of a model. dataset: the part of the evaluation set the prompt is from."""

    instruction: str
    output: str
    generator: str
    dataset: str = ""


@dataclass(frozen=True)
class Annotation:
    """One verdict: which of two outputs a judge prefers.

    preference: 1.0 (output_1, the reference, is better) … 1.5 (a draw) … 2.0 (output_2, the model,
    is better); None without a usable verdict. annotator: the judge.
    """

    instruction: str
    output_1: str
    output_2: str
    generator_1: str
    generator_2: str
    preference: float | None
    annotator: str = ""
    dataset: str = ""


def write_outputs(path: Path, outputs: Iterable[ModelOutput]) -> None:
    """Write `model_outputs.json` or `reference_outputs.json`, whole or not at all."""
    write_json_atomic(path, [asdict(output) for output in outputs])


def write_annotations(path: Path, annotations: Iterable[Annotation]) -> None:
    """Write `annotations.json`, whole or not at all. A verdict that is not usable is null."""
    write_json_atomic(path, [asdict(annotation) for annotation in annotations])


def read_outputs(path: Path) -> list[ModelOutput]:
    """Read a file of outputs, JSON or JSONL. An output may be empty; generator may be missing.

    Of prompts with references it takes `reference_output` and, as who wrote it, `reference`.
    Raises AlpacaEvalFileError, OSError.
    """
    outputs = []
    for where, record in _records(path):
        is_reference = "output" not in record and "reference_output" in record
        outputs.append(
            ModelOutput(
                instruction=_text(record, "instruction", where),
                output=_text(record, "reference_output" if is_reference else "output", where),
                generator=_optional(record, "generator")
                or (_optional(record, "reference") if is_reference else ""),
                dataset=_optional(record, "dataset"),
            )
        )
    return outputs


def read_annotations(path: Path) -> list[Annotation]:
    """Read a file of annotations, JSON or JSONL, of AlpacaEval's tool or of ours.

    0 is its older spelling of a draw; null, NaN and -1 (what its parsers write for an answer they
    cannot read) are no verdict. Raises AlpacaEvalFileError, OSError.
    """
    return [
        Annotation(
            instruction=_text(record, "instruction", where),
            output_1=_text(record, "output_1", where),
            output_2=_text(record, "output_2", where),
            generator_1=_optional(record, "generator_1"),
            generator_2=_optional(record, "generator_2"),
            preference=_preference(record, where),
            annotator=_optional(record, "annotator"),
            dataset=_optional(record, "dataset"),
        )
        for where, record in _records(path)
    ]


def _records(path: Path) -> Sequence[tuple[str, dict[str, Any]]]:
    """Each record with the words that say where it stands."""
    text = path.read_text(encoding="utf-8-sig")
    if text.lstrip()[:1] == "[":
        try:
            values = list(enumerate(json.loads(text), 1))
        except (ValueError, RecursionError) as error:
            raise AlpacaEvalFileError(f"{path}: not JSON: {error}") from error
        unit = "record"
    else:
        lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
        values, unit = [(n, _line(path, n, line)) for n, line in lines], "line"
    records = []
    for n, value in values:
        if not isinstance(value, dict):
            raise AlpacaEvalFileError(
                f"{path}, {unit} {n}: {_short(value)} is not an object; give a list of objects, "
                "or one a line"
            )
        records.append((f"{path}, {unit} {n}", value))
    if not records:
        raise AlpacaEvalFileError(f"{path}: no records")
    return records


def _line(path: Path, number: int, line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError) as error:
        raise AlpacaEvalFileError(f"{path}, line {number}: not JSON: {error}") from error


def _text(record: dict[str, Any], name: str, where: str) -> str:
    value = record.get(name)
    if not isinstance(value, str):
        found = (
            f"it is {_short(value)}" if name in record else f"only {', '.join(record)} are there"
        )
        raise AlpacaEvalFileError(f"{where}: {name} must be a text; {found}")
    return value


def _optional(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    return "" if value is None else str(value)


def _preference(record: dict[str, Any], where: str) -> float | None:
    if "preference" not in record:
        raise AlpacaEvalFileError(f"{where}: preference is missing; this is no annotation")
    value = record["preference"]
    if value is None:
        return None
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.inf
    if number == 0:
        return 1.5
    if number == -1 or (math.isnan(number) and not isinstance(value, bool)):
        return None
    if not 1 <= number <= 2:
        raise AlpacaEvalFileError(
            f"{where}: preference is {_short(value)}; give a number from 1 (output_1 is better) to "
            "2 (output_2 is), or null"
        )
    return number


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:59] + "…"
