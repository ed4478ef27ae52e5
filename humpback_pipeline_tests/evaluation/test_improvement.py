"""Improvement over the seed model, and the categories of prompts."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from humpback_pipeline.evaluation.categories import CATEGORIES, category_of
from humpback_pipeline.evaluation.improvement import (
    changes_of,
    improvement_plot,
    improvement_rows,
    sign_test_p,
    undecided_note,
)
from humpback_pipeline.evaluation.intervals import wilson_interval
from humpback_pipeline.evaluation.paper import PAPER_IMPROVEMENT
from humpback_pipeline.recipe_section import PACKAGE_DIR

LABELLED = Path(__file__).with_name("category_prompts.tsv")


def preferences(**models: list[float | None]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"model": model, "prompt_id": f"p{i}", "preference": value}
            for model, values in models.items()
            for i, value in enumerate(values)
        ],
        schema={"model": pl.String, "prompt_id": pl.String, "preference": pl.Float64},
    )


def test_each_prompt_is_told_how_it_changed() -> None:
    judged = preferences(
        m0=[1.2, 1.8, 1.9, 1.1, 1.5, 1.3, None], m2=[1.6, 1.4, 1.7, 1.3, 1.9, 1.5, 1.9]
    )
    changes = changes_of(judged, "m0", "m2")
    assert changes["change"].to_list() == [
        "turned_into_win",
        "turned_into_loss",
        "still_won",
        "still_lost",
        "drawn",
        "drawn",
    ]
    assert changes["prompt_id"].to_list() == [f"p{i}" for i in range(6)]


def test_rows_count_gains_and_losses_by_category_with_intervals() -> None:
    judged = preferences(m0=[1.2, 1.2, 1.2, 1.8, 1.8], m2=[1.7, 1.7, 1.3, 1.4, 1.9])
    changes = changes_of(judged, "m0", "m2").with_columns(
        category=pl.Series(["advice", "advice", "advice", "advice", "recipe"])
    )
    advice, recipe, everything = improvement_rows(changes, "category")
    assert [row["group"] for row in (advice, recipe, everything)] == ["advice", "recipe", "all"]
    assert (advice["n"], advice["n_lost"], advice["n_won"]) == (4, 3, 1)
    assert (advice["turned_into_win"], advice["turned_into_loss"]) == (2, 1)
    assert advice["turned_share"] == pytest.approx(2 / 3)
    assert (advice["turned_share_low"], advice["turned_share_high"]) == wilson_interval(2, 3)
    assert advice["regressed_share"] == 1.0
    assert advice["improved_share"] == 0.5
    # A category with nothing to turn has no share, and an interval that says so.
    assert recipe["turned_share"] is None
    assert (recipe["turned_share_low"], recipe["turned_share_high"]) == (0.0, 1.0)
    assert everything["still_won"] + everything["still_lost"] == 2
    assert everything["few_prompts"]


def test_sign_test_is_mcnemars() -> None:
    assert sign_test_p(8, 2) == pytest.approx(2 * (1 + 10 + 45) / 2**10)
    assert sign_test_p(3, 3) == 1.0
    assert sign_test_p(0, 0) == 1.0


def test_judge_that_prefers_nothing_is_called_undecided() -> None:
    assert "0.010 from an even 1.5" in str(undecided_note([1.51, 1.49, None]))
    assert undecided_note([1.9, 1.1]) is None
    assert undecided_note([None]) is None


def test_plot_is_drawn_and_says_each_count() -> None:
    judged = preferences(m0=[1.2, 1.8], m2=[1.7, 1.4])
    changes = changes_of(judged, "m0", "m2").with_columns(category=pl.lit("advice"))
    rows = improvement_rows(changes, "category")
    assert improvement_plot(rows, "m2 beside m0").startswith(b"\x89PNG")
    assert improvement_plot(rows, "a") != improvement_plot(rows[:1], "a")
    assert improvement_plot([], "nothing").startswith(b"\x89PNG")


def test_papers_categories_are_among_those_told_by_words() -> None:
    assert set(PAPER_IMPROVEMENT.categories) < set(CATEGORIES)
    assert round(100 * PAPER_IMPROVEMENT.n_turned / PAPER_IMPROVEMENT.n_prompts) == 16


def test_categories_agree_with_the_hand_labelled_prompts() -> None:
    rows = [line.split("\t") for line in LABELLED.read_text(encoding="utf-8").splitlines()]
    assert len(rows) >= 60
    assert {label for label, _ in rows} == set(CATEGORIES)
    wrong = [(label, text) for label, text in rows if category_of(text) != label]
    assert len(wrong) <= 3, wrong


def test_categories_agree_with_those_of_the_bundled_prompts() -> None:
    path = PACKAGE_DIR / "examples" / "evaluation_prompts.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    agreed = sum(category_of(row["instruction"]) == row["category"] for row in rows)
    assert agreed / len(rows) >= 0.9


@pytest.mark.parametrize("text", ["", "   ", "🦆", "\x00", "ok", "?" * 5_000, "a b " * 20_000])
def test_any_text_has_a_category_and_at_once(text: str) -> None:
    assert category_of(text) in CATEGORIES
