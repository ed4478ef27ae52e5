"""The win rates of a file of annotations: ours, or one that AlpacaEval's tool wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

from .alpaca_eval_files import AlpacaEvalFileError, Annotation, read_annotations
from .calibration import CalibrationTableMissingError
from .length_control import LengthControlledWinRate, Method, length_controlled_win_rate
from .win_rates import WinRate, win_rate

# Percentage points: so near to an even rate, 50 % may well be what the fit has found.
_NEAR_EVEN = 1.0


@dataclass(frozen=True)
class AnnotatedWinRate:
    """One model against one baseline by one annotator.

    length_controlled: None where it cannot be had; length_note says why, or what to know of it.
    output_chars_mean, baseline_chars_mean: mean length of the answers in characters.
    """

    model: str
    baseline: str
    annotator: str
    win_rate: WinRate
    length_controlled: LengthControlledWinRate | None
    length_note: str
    output_chars_mean: float
    baseline_chars_mean: float


def win_rates_of_annotations(
    path: str | Path, *, method: Method = "auto", calibration: str | Path | None = None
) -> list[AnnotatedWinRate]:
    """Win rates of a file in AlpacaEval's format (JSON, JSONL), a row for each model in it.

    Models, baselines and annotators are kept apart. method, calibration: as in
    `length_controlled_win_rate`.

    Raises AlpacaEvalFileError, also where no annotation of a model is usable; OSError.
    """
    groups: dict[tuple[str, str, str], list[Annotation]] = {}
    for annotation in read_annotations(Path(path)):
        key = (annotation.generator_2, annotation.generator_1, annotation.annotator)
        groups.setdefault(key, []).append(annotation)
    return [_measured(path, *key, group, method, calibration) for key, group in groups.items()]


def try_length_control(
    annotations: Sequence[Annotation],
    *,
    method: Method = "auto",
    calibration: str | Path | None = None,
    fall_back: bool = False,
) -> tuple[LengthControlledWinRate | None, str]:
    """The length-controlled win rate, or None, and a note: why not, or what to know of it.

    fall_back: take the minimal formula, and say so, where the leaderboard's lacks its table.
    """
    rows = [_without_index(annotation) for annotation in annotations]
    notes = []
    try:
        rate = length_controlled_win_rate(rows, method=method, calibration=calibration)
    except CalibrationTableMissingError as error:
        if not fall_back:
            return None, str(error)
        notes.append("the leaderboard's formula lacks its table, df_gamed.csv")
        rate = length_controlled_win_rate(rows, method="length_controlled_minimal")
    except ValueError as error:
        return None, str(error)
    if rate.method == "length_controlled_minimal":
        notes.append("minimal formula: not comparable with AlpacaEval's leaderboard")
    is_shrunk = rate.coefficients and not any(rate.coefficients.values())
    if is_shrunk and abs(rate.raw_rate - 50) > _NEAR_EVEN:
        notes.append("50 % by the penalty of the fit alone: too few prompts to say more")
    elif rate.is_extreme_change:
        notes.append("far from the plain rate, so the fit may have failed")
    return rate, "; ".join(notes)


def _measured(
    path: str | Path,
    model: str,
    baseline: str,
    annotator: str,
    annotations: list[Annotation],
    method: Method,
    calibration: str | Path | None,
) -> AnnotatedWinRate:
    try:
        measured = win_rate([annotation.preference for annotation in annotations])
    except ValueError as error:
        raise AlpacaEvalFileError(f"{path}, model {model or '(unnamed)'}: {error}") from error
    controlled, note = try_length_control(annotations, method=method, calibration=calibration)
    return AnnotatedWinRate(
        model=model,
        baseline=baseline,
        annotator=annotator,
        win_rate=measured,
        length_controlled=controlled,
        length_note=note,
        output_chars_mean=fmean(len(annotation.output_2) for annotation in annotations),
        baseline_chars_mean=fmean(len(annotation.output_1) for annotation in annotations),
    )


def _without_index(annotation: Annotation) -> dict[str, object]:
    row = asdict(annotation)
    # Unnamed generators would count as one and the same, which has half by construction.
    if not annotation.generator_1 or not annotation.generator_2:
        del row["generator_1"], row["generator_2"]
    return row
