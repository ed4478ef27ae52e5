"""What an evaluated model's card says beyond its training: how it did, what it learnt from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from .tables import render_markdown_table

TASK, METRIC = "text-generation", "win_rate"
_LIMITS = """\
It may be wrong, out of date, biased or harmful, as its base and its data are; passages of web pages
with instructions that a model wrote may be among them. It was not trained to refuse. Win rates come
from a model that judges, which has preferences of its own, for length and for position among them.
"""


@dataclass(frozen=True)
class ModelEvaluation:
    """What was measured of one model.

    win_rate: a row of the win rates (`rate` and `standard_error` in percent, `n`, …), None where
    there is none. learnt_from: what → rows and content hash. data_sets: ids on the Hub.
    """

    model: str
    languages: Sequence[str]
    prompts: str = ""
    judge: str = ""
    win_rate: Mapping[str, Any] | None = None
    learnt_from: Sequence[tuple[str, int, str]] = field(default_factory=tuple)
    data_sets: Sequence[str] = field(default_factory=tuple)


def evaluated_card(card: str, measured: ModelEvaluation) -> str:
    """The model's own card with what was measured since: in the metadata, and as sections.

    card: README.md as training wrote it. Raises ValueError if its metadata cannot be read.
    """
    from huggingface_hub import EvalResult, ModelCard

    parsed = ModelCard(card)
    data: Any = parsed.data  # ModelCardData, which its annotation does not say
    data.language = list(measured.languages) or None
    data.datasets = list(measured.data_sets) or None
    row = measured.win_rate
    if row is not None:
        data.model_name = measured.model
        data.metrics = [METRIC]
        data.eval_results = [
            EvalResult(
                task_type=TASK,
                dataset_type=measured.prompts,
                dataset_name=f"{measured.prompts} ({row['n']} prompts)",
                metric_type=METRIC,
                metric_name=f"win rate in percent, judged by {measured.judge}",
                metric_value=round(float(row["rate"]), 2),
            )
        ]
    body = parsed.text.rstrip()
    sections = [_evaluation(measured), _data(measured), f"## Limits\n\n{_LIMITS}"]
    return f"---\n{data.to_yaml()}\n---\n{body}\n\n" + "\n".join(filter(None, sections))


def _evaluation(measured: ModelEvaluation) -> str:
    row = measured.win_rate
    if row is None:
        return ""
    n, error = int(row["n"]), row["standard_error"]
    rows = {
        "win rate over the reference answers": f"{row['rate']:.1f} %",
        "standard error": "–" if error is None else f"{error:.1f}",
        "prompts": f"{n:,}",
        "judge": measured.judge,
    }
    controlled = row.get("length_controlled_rate")
    if controlled is not None:
        rows["length-controlled win rate"] = f"{controlled:.1f} %"
    few = "" if n >= 100 else f"\nOnly {n} prompts: a direction, not a rank.\n"
    return f"## Evaluation\n\n{_table(rows)}\n{few}"


def _data(measured: ModelEvaluation) -> str:
    if not measured.learnt_from:
        return ""
    frame = pl.DataFrame(
        list(measured.learnt_from), schema=["data", "pairs", "content hash"], orient="row"
    )
    return f"## Data\n\n{render_markdown_table(frame)}\n"


def _table(rows: Mapping[str, str]) -> str:
    frame = pl.DataFrame({"measure": list(rows), "value": list(rows.values())})
    return render_markdown_table(frame)
