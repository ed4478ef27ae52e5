"""Near-duplicate instructions: what goes is near enough to something better that stays."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.curation.near_duplicates import MIN_WORDS, earlier_near_duplicate

WORDS = [f"word{n}" for n in range(30)]


def places(*texts: str, threshold: float = 0.7, n_protected: int = 0) -> list[int]:
    series = pl.Series(list(texts), dtype=pl.String)
    return earlier_near_duplicate(series, threshold, n_protected).tolist()


def similarity(left: str, right: str) -> float:
    mine, other = set(left.split()), set(right.split())
    return len(mine & other) / len(mine | other)


def test_first_of_near_equal_texts_stands_for_the_others() -> None:
    found = places(
        "How do I prune an old apple tree in winter?",
        "Why is the sea salty?",
        "how do i prune an old APPLE tree, in late winter",
        "How do I prune an old pear tree?",
    )
    assert found == [-1, -1, 0, -1]


@pytest.mark.parametrize(("threshold", "found"), [(0.8, 0), (0.81, -1)])
def test_similarity_at_the_threshold_is_near_enough(threshold: float, found: int) -> None:
    # Four words of five are shared: exactly 0.8.
    assert places("a b c d", "a b c d e", threshold=threshold) == [-1, found]


def test_short_texts_go_only_if_they_are_equal() -> None:
    assert places("Define a tide.", "Define a reef.", "define a tide", "Tide: define a") == [
        -1,
        -1,
        0,
        -1,
    ]


def test_text_near_to_a_dropped_one_only_stays() -> None:
    first, middle, last = "a b c d e f", "a b c d e g", "a b c d h g"
    assert similarity(first, middle) == similarity(middle, last) == pytest.approx(5 / 7)
    assert similarity(first, last) == 0.5
    assert places(first, middle, last) == [-1, 0, -1]


def test_protected_texts_stay_and_stand_for_the_rest() -> None:
    seed = "Name three causes of the spring tide."
    assert places(seed, seed, "Name three causes of the tide", n_protected=2) == [-1, -1, 0]


@pytest.mark.parametrize("texts", [(), ("",), ("", "!"), ("one",)])
def test_few_or_no_words_are_no_error(texts: tuple[str, ...]) -> None:
    assert places(*texts) == ([-1, 0] if len(texts) == 2 else [-1] * len(texts))


def test_thresholds_outside_their_range_are_refused() -> None:
    with pytest.raises(ValueError, match="threshold 0"):
        places("a", threshold=0.0)


texts_of_words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(texts_of_words, min_size=1, max_size=40), st.sampled_from([0.5, 0.7, 0.9, 1.0]))
def test_every_text_that_goes_has_a_kept_one_before_it_that_is_near(
    texts: list[str], threshold: float
) -> None:
    found = places(*texts, threshold=threshold)
    for place, stands_for in enumerate(found):
        if stands_for < 0:
            assert texts[place] not in texts[:place]
            continue
        assert stands_for < place
        assert found[stands_for] == -1
        equal = texts[place] == texts[stands_for]
        long_enough = len(set(texts[place].split())) >= MIN_WORDS
        near = similarity(texts[place], texts[stands_for]) >= threshold
        assert equal or (long_enough and near)


def test_nearly_all_near_duplicates_among_thousands_are_found() -> None:
    draw = random.Random(0)
    vocabulary = [f"term{n}" for n in range(3_000)]
    originals = [" ".join(draw.sample(vocabulary, 10)) for _ in range(1_500)]
    copies = [" ".join([*text.split()[:-1], "another"]) for text in originals]
    found = places(*originals, *copies)
    assert found[:1_500] == [-1] * 1_500
    # Nine words of eleven are shared.
    n_found = sum(of == number for number, of in enumerate(found[1_500:]))
    assert n_found >= 1_490


def test_a_pattern_that_fills_a_bucket_does_not_hide_equal_and_near_ones() -> None:
    pattern = "please write a short text that is about"
    texts = [f"{pattern} thing{n} stuff{n} part{n} kind{n} sort{n}" for n in range(500)]
    again = [f"{text} now" for text in texts[::50]]
    found = places(*texts, *again)
    assert found[:500] == [-1] * 500
    assert sum(of == 50 * number for number, of in enumerate(found[500:])) >= 9
