"""What lm-evaluation-harness measured: metrics with intervals, and what each question scored."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from humpback_pipeline.evaluation.intervals import Interval, wilson_interval

_Z: Final = 1.959963984540054


@dataclass(frozen=True)
class Measure:
    """One metric of one task: `task` is what was asked for or a part of it.

    low, high: 95 %; Wilson's interval where every question scores 0 or 1, else value ± 1.96
    standard errors; None where lm-eval knows no standard error. n: questions. is_group: a mean over
    tasks that have measures of their own.
    """

    task: str
    metric: str
    value: float
    standard_error: float | None
    low: float | None
    high: float | None
    n: int
    is_group: bool
    higher_is_better: bool


@dataclass(frozen=True)
class QuestionScore:
    """What one question of a task scored."""

    task: str
    question: int
    metric: str
    score: float


@dataclass(frozen=True)
class TaskResult:
    """Everything measured by one requested task."""

    measures: tuple[Measure, ...]
    scores: tuple[QuestionScore, ...]


def task_result(results: Mapping[str, Any]) -> TaskResult:
    """The measures and scores in what lm-eval's `evaluate` returned, samples included."""
    samples: Mapping[str, Any] = results["samples"]
    parts: Mapping[str, Sequence[str]] = results.get("group_subtasks") or {}
    better: Mapping[str, Mapping[str, bool]] = results.get("higher_is_better") or {}
    measures = []
    for task, entry in results["results"].items():
        tasks = list(_leaves(task, parts))
        for key, value in entry.items():
            metric, _, rule = key.partition(",")
            if not rule or metric.endswith("_stderr") or not isinstance(value, int | float):
                continue
            error = entry.get(f"{metric}_stderr,{rule}")
            error = float(error) if isinstance(error, int | float) else None
            scores = [
                score
                for leaf in tasks
                for sample in samples.get(leaf, ())
                if sample["filter"] == rule and (score := _score(sample.get(metric))) is not None
            ]
            low, high = _interval(float(value), error, scores)
            measures.append(
                Measure(
                    task=task,
                    metric=metric if rule == "none" else f"{metric} ({rule})",
                    value=float(value),
                    standard_error=error,
                    low=low,
                    high=high,
                    n=len(scores) or int(entry.get("sample_len", 0)),
                    is_group=bool(parts.get(task)),
                    higher_is_better=bool((better.get(task) or {}).get(metric, True)),
                )
            )
    return TaskResult(tuple(measures), tuple(_scores(samples)))


def _leaves(task: str, parts: Mapping[str, Sequence[str]]) -> Iterator[str]:
    below = parts.get(task)
    if not below:
        yield task
    for name in below or ():
        yield from _leaves(name, parts)


def _scores(samples: Mapping[str, Any]) -> Iterator[QuestionScore]:
    for task, questions in samples.items():
        for sample in questions:
            for metric in sample["metrics"]:
                score = _score(sample[metric])
                if score is not None:
                    rule = sample["filter"]
                    name = metric if rule == "none" else f"{metric} ({rule})"
                    yield QuestionScore(task, int(sample["doc_id"]), name, score)


def _score(value: Any) -> float | None:
    # Some metrics are computed from all questions at once and keep a tuple for each.
    try:
        return float(value) if not isinstance(value, str) else None
    except (TypeError, ValueError):
        return None


def _interval(
    value: float, error: float | None, scores: Sequence[float]
) -> Interval | tuple[None, None]:
    share = bool(scores) and set(scores) <= {0.0, 1.0}
    if share and math.isclose(sum(scores) / len(scores), value, abs_tol=1e-9):
        return wilson_interval(sum(scores), len(scores))
    if error is None or not math.isfinite(error):
        return None, None
    return value - _Z * error, value + _Z * error
