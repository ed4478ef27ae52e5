"""Checks of benchmarks and safety."""

from __future__ import annotations

import math

import polars as pl
import pytest

from humpback_pipeline.stages.checks import check_safety_judge_follows, check_tasks_measured


def results(*rows: tuple[str, str, float, int]) -> pl.DataFrame:
    return pl.DataFrame(
        [(model, task, "acc", score, n) for model, task, score, n in rows],
        schema=["model", "task", "metric", "score", "n"],
        orient="row",
    )


def test_every_model_has_every_task() -> None:
    outcome = check_tasks_measured(results(("m0", "piqa", 0.5, 10), ("m1", "piqa", 0.6, 10)))
    assert outcome.passed
    assert outcome.facts == {"models": 2, "measures": 1, "wrong": 0}


@pytest.mark.parametrize(
    "second",
    [("m1", "siqa", 0.6, 10), ("m1", "piqa", 0.6, 9), ("m1", "piqa", math.nan, 10)],
    ids=["other task", "fewer questions", "no number"],
)
def test_model_that_was_measured_otherwise_is_seen(second: tuple[str, str, float, int]) -> None:
    assert not check_tasks_measured(results(("m0", "piqa", 0.5, 10), second)).passed


@pytest.mark.parametrize(
    ("mass", "consistent", "passed"),
    [(0.9, [True, True], True), (0.1, [True, True], False), (0.9, [False, False], False)],
)
def test_judge_that_guesses_is_seen(mass: float, consistent: list[bool], passed: bool) -> None:
    verdicts = pl.DataFrame({"choices_mass": [mass, mass], "consistent": consistent})
    outcome = check_safety_judge_follows(verdicts)
    assert outcome.passed is passed
    assert ("evaluation.judge" in outcome.message) is not passed
