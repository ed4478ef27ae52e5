"""Raters and scorers side by side: thresholds, intervals, flaws and preferences."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from humpback_pipeline.evaluation.intervals import auc_interval, f1_interval, wilson_interval
from humpback_pipeline.evaluation.preference_agreement import LONGER_WINS, preference_agreement
from humpback_pipeline.evaluation.rater_comparison import (
    compare_by_flaw,
    compare_selection,
    thresholds_of,
)
from humpback_pipeline.evaluation.selection_plots import precision_recall_panels

KINDS = ["good", "good", "truncated", "truncated", "mismatched"]
LABELS = [1, 1, 0, 0, 0]


def rated(scorer: str, ratings: list[float], rater: str = "m0") -> pl.DataFrame:
    n = len(ratings)
    return pl.DataFrame(
        {
            "rater": [rater] * n,
            "scorer": [scorer] * n,
            "kind": KINDS,
            "label": LABELS,
            "rating": ratings,
            "error": [None] * n,
        },
        schema_overrides={"error": pl.String},
    )


def best_two(ratings: Sequence[float], _: Sequence[int]) -> float:
    return sorted(ratings)[-2]


def from_4(*_: object) -> float:
    return 4.0


BOTH = pl.concat(
    [rated("relevance", [5.0, 4.6, 4.7, 2.0, 1.0]), rated("expected", [3.0, 3.1, 3.3, 3.2, 2.9])]
)


def test_wilson_interval_agrees_with_a_published_example():
    # Newcombe (1998), table I: 81 of 263 and 0 of 20.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=1e-4)


@given(st.floats(0, 1), st.integers(1, 300), st.integers(1, 300))
def test_auc_interval_holds_the_auc_and_lies_within_0_and_1(auc, n_good, n_bad):
    low, high = auc_interval(auc, n_good, n_bad)
    assert 0.0 <= low <= auc + 1e-9
    assert auc - 1e-9 <= high <= 1.0


def test_auc_interval_of_a_perfect_auc_still_has_a_width_that_shrinks_with_the_sample():
    few, many = auc_interval(1.0, 5, 20), auc_interval(1.0, 50, 200)
    assert few[0] < 0.9 < many[0] < 1.0
    assert few[1] == many[1] == pytest.approx(1.0)


def test_auc_interval_covers_the_true_auc_about_as_often_as_it_says():
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(300):
        good, bad = rng.normal(1.0, 1.0, 30), rng.normal(0.0, 1.0, 60)
        auc = float((good[:, None] > bad[None, :]).mean())
        low, high = auc_interval(auc, 30, 60)
        covered += low <= 0.7602 <= high  # Φ(1/√2)
    assert 0.91 <= covered / 300 <= 0.99


def test_f1_interval_holds_f1_and_is_the_same_each_time():
    low, high = f1_interval(40, 5, 50, 200)
    assert low < 80 / 95 < high
    assert high - low < 0.2
    assert (low, high) == f1_interval(40, 5, 50, 200)


def test_intervals_of_nothing_say_that_nothing_is_known():
    assert wilson_interval(0, 0) == (0.0, 1.0)
    assert auc_interval(0.5, 0, 9) == (0.0, 1.0)
    assert f1_interval(0, 0, 0, 9) == (0.0, 1.0)


def test_compare_selection_rates_each_scorer_at_its_own_threshold():
    relevance, expected = compare_selection(BOTH, best_two)
    assert (relevance["scorer"], relevance["threshold"]) == ("relevance", 4.7)
    assert (relevance["precision"], relevance["recall"]) == (0.5, 0.5)
    assert relevance["auc"] == pytest.approx(5 / 6)
    assert (expected["scorer"], expected["threshold"]) == ("expected", 3.2)
    assert (expected["precision"], expected["recall"], expected["f1"]) == (0.0, 0.0, 0.0)
    assert relevance["few_pairs"]
    assert relevance["precision_interval"] == wilson_interval(1, 2)


def test_compare_selection_at_thresholds_found_elsewhere_finds_none_itself():
    found = {("m0", "relevance"): 4.0, ("m0", "expected"): 4.0}
    relevance, expected = compare_selection(BOTH, best_two, found)
    assert (relevance["threshold"], relevance["n_selected"]) == (4.0, 3)
    assert (expected["threshold"], expected["n_selected"]) == (4.0, 0)


def test_only_ratings_of_the_pairs_it_was_fitted_on_are_called_cross_validated():
    calibrated = rated("calibrated", [5.0, 4.6, 4.7, 2.0, 1.0])
    (fitted,) = compare_selection(calibrated, from_4)
    (other,) = compare_selection(calibrated, from_4, {("m0", "calibrated"): 4.0})
    assert fitted["cross_validated"]
    assert not other["cross_validated"]


def test_compare_selection_counts_pairs_that_could_not_be_rated():
    failed = rated("expected", [5.0, 1.0, 1.0, 1.0, 1.0]).with_columns(
        error=pl.Series([None, "too long", None, None, None])
    )
    assert compare_selection(failed, from_4)[0]["n_errors"] == 1


def test_compare_by_flaw_sets_all_good_pairs_against_each_kind():
    rows = compare_by_flaw(BOTH, {("m0", "relevance"): 4.5, ("m0", "expected"): 3.0})
    by_flaw = {(row["scorer"], row["flaw"]): row for row in rows}
    truncated = by_flaw["relevance", "truncated"]
    assert (truncated["auc"], truncated["selected"]) == (0.75, 0.5)
    assert (truncated["n"], truncated["n_positive"]) == (2, 2)
    assert by_flaw["relevance", "mismatched"]["auc"] == 1.0
    assert by_flaw["expected", "truncated"]["auc"] == 0.0
    assert by_flaw["expected", "truncated"]["selected"] == 1.0


def preferences(*prompts: tuple[float, float, int, int]) -> pl.DataFrame:
    """Ratings and lengths of each prompt's preferred and other output."""
    rows = [
        ("m0", "expected", str(n), is_preferred, rating, chars)
        for n, (r1, r2, c1, c2) in enumerate(prompts)
        for is_preferred, rating, chars in ((True, r1, c1), (False, r2, c2))
    ]
    columns = ["rater", "scorer", "prompt_id", "preferred", "rating", "output_chars"]
    return pl.DataFrame(rows, schema=columns, orient="row")


def test_preference_agreement_counts_ties_half_and_stands_beside_the_longer_output():
    table = preferences(
        (5.0, 1.0, 900, 100), (3.0, 3.0, 100, 900), (1.0, 2.0, 900, 100), (4.0, 3.5, 50, 60)
    )
    agreement, baseline = preference_agreement(table)
    assert (agreement["agreement"], agreement["n_ties"], agreement["n"]) == (0.625, 1, 4)
    assert agreement["interval"] == wilson_interval(2.5, 4)
    assert (agreement["agreement_when_shorter"], agreement["n_shorter"]) == (0.75, 2)
    assert (baseline["rater"], baseline["scorer"]) == ("", LONGER_WINS)
    assert (baseline["agreement"], baseline["agreement_when_shorter"]) == (0.5, 0.0)


def test_preference_agreement_has_the_baseline_once_for_several_raters():
    table = preferences((5.0, 1.0, 9, 1), (1.0, 5.0, 9, 1))
    both = pl.concat([table, table.with_columns(rater=pl.lit("m1"), rating=-pl.col("rating"))])
    rows = preference_agreement(both)
    assert [(row["rater"], row["agreement"], row["n"]) for row in rows] == [
        ("m0", 0.5, 2),
        ("m1", 0.5, 2),
        ("", 1.0, 2),
    ]


def test_preference_agreement_of_no_preferences_is_empty():
    assert preference_agreement(preferences((1.0, 2.0, 1, 1)).clear()) == []


def panels(n_raters: int, **changes: float) -> bytes:
    curves = {"expected": ([1.0, 2.0, 3.0], [0, 1, 1]), "relevance": ([3.0, 2.0, 1.0], [1, 0, 1])}
    thresholds = {("m0", "relevance"): changes.get("threshold", 2.0)}
    return precision_recall_panels(
        {f"m{n}": curves for n in range(n_raters)}, thresholds, emphasised="relevance"
    )


def test_panels_are_a_png_that_grows_with_the_raters():
    two, three = (Image.open(io.BytesIO(panels(n))) for n in (2, 3))
    assert two.format == "PNG"
    assert two.width == three.width
    assert three.height > two.height * 1.5
    assert np.asarray(two.convert("L")).min() < 140


def test_panels_mark_the_threshold():
    assert panels(1) != panels(1, threshold=3.0)


def test_panels_without_a_good_pair_are_drawn_empty():
    png = precision_recall_panels({"m0": {"expected": ([1.0], [0])}}, {})
    assert Image.open(io.BytesIO(png)).format == "PNG"


def test_thresholds_of_rows():
    rows = compare_selection(BOTH, from_4)
    assert thresholds_of(rows) == {("m0", "relevance"): 4.0, ("m0", "expected"): 4.0}


def test_rule_that_selects_nothing_has_no_threshold_and_is_not_asked_again():
    def nothing(*_: object) -> None:
        return None

    rows = compare_selection(BOTH, nothing)
    assert [(row["threshold"], row["n_selected"], row["recall"]) for row in rows] == [
        (None, 0, 0.0)
    ] * 2
    assert rows[0]["auc"] == pytest.approx(5 / 6)
    elsewhere = compare_selection(BOTH, from_4, thresholds_of(rows))
    assert [row["threshold"] for row in elsewhere] == [None, None]
    assert {row["selected"] for row in compare_by_flaw(BOTH, thresholds_of(rows))} == {0}
