"""Two models on the same prompts: differences, intervals, sign flips by hand, Holm."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from humpback_pipeline.evaluation.mean_intervals import mean_interval, share_interval
from humpback_pipeline.evaluation.paired_tests import (
    holm,
    paired_comparison,
    with_holm,
)

PREFERENCE = st.sampled_from([1.0, 1.25, 1.5, 1.75, 2.0])


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(PREFERENCE, PREFERENCE), min_size=2, max_size=9))
def test_sign_flips_of_few_prompts_are_all_tried(pairs: list[tuple[float, float]]) -> None:
    a, b = zip(*pairs, strict=True)
    found = paired_comparison(a, b)
    differences = np.subtract(a, b)
    sums = [
        abs(float(np.dot(signs, differences)))
        for signs in itertools.product((1, -1), repeat=len(pairs))
    ]
    as_far = sum(total >= abs(differences.sum()) - 1e-12 for total in sums)
    assert found.p_method == "exact"
    assert found.p_value == pytest.approx(as_far / len(sums))
    assert found.difference == pytest.approx(100 * differences.mean())
    assert (found.n_a_better, found.n_b_better, found.n_equal) == (
        (differences > 0).sum(),
        (differences < 0).sum(),
        (differences == 0).sum(),
    )


def test_interval_is_students_of_the_paired_differences() -> None:
    rng = random.Random(3)
    a = [1 + rng.random() for _ in range(30)]
    b = [1 + rng.random() for _ in range(30)]
    low, high = stats.ttest_rel(a, b).confidence_interval(0.95)
    assert paired_comparison(a, b).interval == pytest.approx((100 * low, 100 * high))


def test_many_prompts_are_tested_by_sampling_and_always_alike() -> None:
    rng = np.random.default_rng(0)
    b = 1 + rng.random(200)
    same, better = np.clip(b + rng.normal(0, 0.2, 200), 1, 2), np.clip(b + 0.1, 1, 2)
    nothing, something = paired_comparison(same, b), paired_comparison(better, b)
    assert nothing.p_method == something.p_method == "monte_carlo"
    assert nothing.p_value == paired_comparison(same, b).p_value > 0.05
    assert something.p_value < 0.001
    # As the t-test sees it, from which it need not differ here.
    assert nothing.p_value == pytest.approx(stats.ttest_rel(same, b).pvalue, abs=0.03)


def test_paired_test_sees_what_two_win_rates_cannot() -> None:
    """Prompts differ much, models little: the difference shows only prompt by prompt."""
    rng = np.random.default_rng(1)
    easy = 1 + rng.integers(0, 2, 100) * 0.9
    found = paired_comparison(easy + 0.05 + rng.normal(0, 0.01, 100), easy)
    assert found.difference == pytest.approx(5, abs=0.5)
    assert found.interval[0] > 4
    assert found.p_value < 0.001


def test_mcnemar_counts_prompts_that_one_wins_and_the_other_does_not() -> None:
    a = [2.0] * 9 + [1.0] * 1 + [2.0, 1.5]
    b = [1.0] * 9 + [2.0] * 1 + [2.0, 1.0]
    found = paired_comparison(a, b)
    assert (found.n_only_a_wins, found.n_only_b_wins) == (9, 1)
    assert found.mcnemar_p == pytest.approx(22 / 1024)


def test_prompt_without_a_preference_of_both_is_left_out() -> None:
    found = paired_comparison([2.0, None, 0.0, 1.0, 2.0], [1.0, 2.0, 1.5, math.nan, 3.0])
    assert (found.n, found.n_left_out) == (2, 3)
    assert (found.n_a_better, found.n_equal) == (1, 1)


def test_models_that_answer_alike_are_not_told_apart() -> None:
    found = paired_comparison([1.2, 2.0, 1.0], [1.2, 2.0, 1.0])
    assert (found.difference, found.p_value, found.mcnemar_p) == (0.0, 1.0, 1.0)
    assert found.interval[0] < -10 < 10 < found.interval[1]  # three prompts say little


@pytest.mark.parametrize(("a", "b"), [([1.0], [2.0]), ([1.0, 2.0], [1.0]), ([None] * 3, [1.0] * 3)])
def test_too_little_to_compare_is_refused(a: list[float | None], b: list[float | None]) -> None:
    with pytest.raises(ValueError, match="paired_comparison"):
        paired_comparison(a, b)


def test_holm_is_that_of_the_textbook() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.4, 0.6]) == pytest.approx([0.8, 0.8])
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_lies_between_no_correction_and_bonferronis(p_values: list[float]) -> None:
    for plain, adjusted in zip(p_values, holm(p_values), strict=True):
        assert plain <= adjusted <= min(1.0, plain * len(p_values))


def test_family_of_comparisons_is_corrected_together() -> None:
    one = paired_comparison([2.0] * 6, [1.0] * 6)
    first, second = with_holm([one, one])
    assert one.p_value == pytest.approx(2 / 64)
    assert first.p_adjusted == second.p_adjusted == pytest.approx(4 / 64)


@pytest.mark.parametrize("n", [8, 40, 400])
@pytest.mark.parametrize("share", [0.1, 0.5])
def test_intervals_of_means_hold_the_truth_as_often_as_they_say(n: int, share: float) -> None:
    rng = np.random.default_rng(n)
    held = 0
    for _ in range(400):
        low, high = mean_interval((rng.random(n) < share).astype(float))
        held += low <= share <= high
    assert held >= 0.93 * 400


def test_interval_is_never_empty_and_never_leaves_the_scale() -> None:
    assert mean_interval([]) == (0.0, 1.0)
    for value in (0.0, 0.5, 1.0):
        low, high = mean_interval([value] * 10)
        assert 0 <= low < high <= 1
        assert low <= value <= high
    assert mean_interval([0.3])[1] - mean_interval([0.3])[0] > 0.5
    low, high = mean_interval([-1.0, 1.0, -1.0, 1.0], -1.0, 1.0)
    assert (low, high) == pytest.approx((-high, high))
    # Graded preferences that hardly differ tell more than as many wins and losses.
    graded = share_interval(0.5, 0.001, 16)
    assert graded[1] - graded[0] == pytest.approx(2 * stats.t.ppf(0.975, 15) * 0.001, rel=0.01)


def test_difference_of_rounding_is_none() -> None:
    # 0.1 + 0.2 and 0.3 are the same preference, and 0.3 - 0.1 and 0.2 the same difference.
    same = paired_comparison([1 + (0.1 + 0.2), 1.6] * 3, [1.3, 1 + (0.5 + 0.1)] * 3)
    assert (same.n_equal, same.p_value) == (6, 1.0)
    shifted = paired_comparison([1.9, 1.3, 1.6], [1.8, 1.2, 1.5])
    assert shifted.interval[0] < 0 < 20 < shifted.interval[1]
