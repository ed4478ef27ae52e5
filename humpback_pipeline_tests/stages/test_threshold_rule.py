"""The recipe's selection rule on labelled pairs: the same threshold as curation's."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.curation import select_pairs
from humpback_pipeline.recipe_curation import SelectionRecipe
from humpback_pipeline.stages.threshold_rule import ThresholdRule

RATINGS = [5.0, 4.0, 4.0, 3.0, 1.0]
GOOD = [1, 0, 1, 0, 0]


@pytest.mark.parametrize(
    ("rule", "threshold"),
    [
        (ThresholdRule(min_rating=4.5), 4.5),
        (ThresholdRule(top_fraction=0.4), 4.0),
        (ThresholdRule(top_fraction=0.01), 5.0),
        (ThresholdRule(min_rating=4.5, top_fraction=0.8), 4.5),
        (ThresholdRule(min_rating=2.0, top_fraction=0.2), 5.0),
        (ThresholdRule(top_k=4_000), 4.0),
        (ThresholdRule(target_precision=0.6), 4.0),
        (ThresholdRule(target_precision=1.0), 5.0),
    ],
)
def test_threshold_of_each_rule(rule, threshold):
    assert rule.threshold(RATINGS, GOOD) == threshold


def test_precision_that_nothing_reaches_selects_nothing():
    assert ThresholdRule(target_precision=0.9).threshold([5.0, 4.0, 3.0], [0, 1, 0]) is None


def test_precision_that_is_reached_but_for_rounding_is_reached():
    ratings, labels = [4.0] * 10, [1] * 7 + [0] * 3
    assert ThresholdRule(target_precision=0.1 + 0.6).threshold(ratings, labels) == 4.0
    assert ThresholdRule(target_precision=0.7 + 1e-12).threshold(ratings, labels) == 4.0


RATED = st.lists(
    st.tuples(st.sampled_from([1.0, 2.0, 3.0, 4.0, 4.5, 5.0]), st.integers(0, 1)), min_size=1
)


@settings(deadline=None, max_examples=50)
@given(rated=RATED, target=st.floats(0.05, 1.0))
def test_target_precision_keeps_the_labelled_pairs_that_curation_keeps(rated, target):
    ratings, labels = zip(*rated, strict=True)
    pairs = pl.DataFrame(
        {
            "segment_id": [str(n) for n in range(len(rated))],
            "instruction": [f"Ask about number {n}." for n in range(len(rated))],
            "output": [f"Number {n}." for n in range(len(rated))],
            "rating": ratings,
            "label": labels,
        }
    )
    rule = SelectionRecipe(target_precision=target, near_duplicate_threshold=None)
    kept = select_pairs(pairs, rule, labelled=pairs).kept["segment_id"].to_list()
    threshold = ThresholdRule(target_precision=target).threshold(ratings, labels)
    mine = [str(n) for n, r in enumerate(ratings) if threshold is not None and r >= threshold]
    assert sorted(kept) == sorted(mine)


def test_rule_says_what_it_is_in_words():
    words = ThresholdRule(min_rating=4.5, top_fraction=0.25).describe()
    assert words == "rating ≥ 4.5 and the best 25% of the labelled pairs"
