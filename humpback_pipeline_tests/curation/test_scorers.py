"""Ratings: always in range, and the mean that the probabilities say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.curation import Pair, expected_rating, rate_pairs
from humpback_pipeline.generation.probabilities import normalise_choices


@pytest.mark.parametrize(
    ("probabilities", "rating"),
    [((1, 0, 0, 0, 0), 1.0), ((0, 0, 0, 0.5, 0.5), 4.5), ((0.2, 0.2, 0.2, 0.2, 0.2), 3.0)],
)
def test_expected_rating_is_the_weighted_mean(
    probabilities: tuple[float, ...], rating: float
) -> None:
    assert expected_rating(probabilities) == pytest.approx(rating)


@given(st.lists(st.floats(min_value=-1e6, max_value=1e6), min_size=5, max_size=5))
def test_rating_is_in_range_for_any_logits(logits: list[float]) -> None:
    highest = max(logits)
    answer = normalise_choices("a", [value - highest for value in logits])

    assert 1.0 <= expected_rating(answer.probabilities) <= 5.0


def test_unknown_scorer_is_an_error_that_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'sampled'.*expected"):
        rate_pairs([Pair("a", "b")], "nowhere", scorer="sampled")


def test_no_pairs_start_no_engine() -> None:
    assert rate_pairs([], "nowhere") == []
