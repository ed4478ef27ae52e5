"""Checks of a curated set: what is too little or too much alike, and what to do then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from curated_home import CuratedHome

from humpback_pipeline.recipe_operations import ChecksRecipe
from humpback_pipeline.stages.checks import check_curated_set_usable, check_curated_set_varied
from humpback_pipeline.stages.checks.outcome import CheckOutcome

BOUNDS = ChecksRecipe()


def pairs(n: int, **columns: Any) -> pl.DataFrame:
    frame = {
        "instruction": [f"Subject {i} of part {i} please" for i in range(n)],
        "output": ["text " * (20 + 5 * i) for i in range(n)],
        "rating": [4 + i / 100 for i in range(n)],
    }
    typed = {"instruction": pl.String, "output": pl.String, "rating": pl.Float64}
    return pl.DataFrame(frame | columns, schema_overrides=typed)


def facts(host_share: float = 0.1) -> dict[str, Any]:
    host = {"host": "a.example", "share": host_share, "share_of_rated": 0.2, "hosts": 9}
    rows = [{"ratings": "1.0 to 1.5", "rated": 3, "kept": 1}]
    return {"histogram": rows, "advice": "Lower min_rating.", "most_pairs_host": host}


def usable(frame: pl.DataFrame, ratings: list[float] | None = None) -> CheckOutcome:
    rated = pl.Series(ratings or [1 + n / 25 for n in range(100)])
    return check_curated_set_usable(frame, rated, facts(), BOUNDS)


@pytest.mark.parametrize(("n", "passed"), [(0, False), (4, False), (5, True), (60, True)])
def test_set_needs_the_fewest_pairs_that_the_recipe_names(n: int, passed: bool) -> None:
    outcome = usable(pairs(n))
    assert outcome.passed is passed
    assert outcome.facts["histogram"]
    if not passed:
        assert "Lower min_rating." in outcome.message
        assert outcome.facts["advice"] == "Lower min_rating."


def test_selection_among_equal_ratings_is_no_selection() -> None:
    outcome = usable(pairs(20), [3.25] * 100)
    assert not outcome.passed
    assert "All 100 ratings are 3.25: 20 were drawn" in outcome.message
    # All of them kept is not a draw; few of them say nothing.
    assert usable(pairs(20), [3.25] * 20).passed
    assert usable(pairs(5), [3.25] * 9).passed


def test_collapsed_backward_model_stops_training() -> None:
    alike = [f"Write a poem on {i}" for i in range(20)]
    assert "begin 'write a poem'" in usable(pairs(20, instruction=alike)).message
    assert not usable(pairs(20, instruction=alike)).passed
    assert usable(pairs(20, instruction=["Something else", *alike[1:]])).passed


def test_varied_set_passes_and_small_ones_cannot_be_told() -> None:
    assert check_curated_set_varied(pairs(30), facts(), BOUNDS).passed
    few = check_curated_set_varied(pairs(9, rating=[4.0] * 9), facts(1.0), BOUNDS)
    assert few.passed
    assert "too few to tell" in few.message


@pytest.mark.parametrize(
    ("columns", "host_share", "said"),
    [
        ({}, 0.6, "60% are from a.example, as are 20% of all rated pairs"),
        (
            {"instruction": ["What is the point?"] * 6 + [f"Say {i}" for i in range(4)]},
            0.1,
            "60% of the instructions begin 'what is the'",
        ),
        ({"rating": [5.0] * 10}, 0.1, "all ratings are 5.00"),
        ({"output": ["x" * (1_000 + i) for i in range(10)]}, 0.1, "80 % of the outputs have"),
    ],
)
def test_one_sided_sets_are_warned_of(
    columns: dict[str, Any], host_share: float, said: str
) -> None:
    outcome = check_curated_set_varied(pairs(10, **columns), facts(host_share), BOUNDS)
    assert not outcome.passed
    assert said in outcome.message


def test_checks_read_the_facts_that_the_stage_writes(tmp_path: Path) -> None:
    home = CuratedHome(tmp_path, {"curation__selection": "{min_rating: 1.5}"})
    home.rate(1, [5.0, 4.8, 4.6, 4.4, 4.2, 2.0, 1.9, 1.8, 1.7, 1.6])
    manifest = home.select(1)
    frame = home.workspace.datasets.read("curated_set_1")
    assert check_curated_set_usable(frame, frame["rating"], manifest.facts, BOUNDS).passed
    # All ten begin "Ask about", and then each with a topic of its own.
    varied = check_curated_set_varied(frame, manifest.facts, BOUNDS)
    assert varied.passed
    assert varied.facts["host_share"] == 0.2
    assert varied.facts["hosts"] == 5


def test_empty_set_of_the_stage_fails_with_advice(tmp_path: Path) -> None:
    home = CuratedHome(tmp_path, {"curation__selection": "{min_rating: 4.5}"})
    home.rate(1, [3.0, 2.0])
    manifest = home.select(1)
    frame = home.workspace.datasets.read("curated_set_1")
    outcome = check_curated_set_usable(frame, pl.Series([3.0, 2.0]), manifest.facts, BOUNDS)
    assert not outcome.passed
    assert "The best of 2 ratings is 3.00, min_rating is 4.5" in outcome.message
    assert "top_fraction" in outcome.message
