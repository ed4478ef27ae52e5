"""Two models on the same prompts: how far apart they are, and whether chance explains it.

Both answered the same prompts, so each prompt is its own control and a paired test sees smaller
differences than two win rates with their intervals do.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from .intervals import Interval
from .mean_intervals import mean_interval

_N_RESAMPLES = 9_999  # all 2^n sign flips are tried where there are no more than these
_BATCH = 500  # resamples at a time, so that 805 prompts take megabytes
_DRAW = 1.5
_DECIMALS = 12  # of a difference; what is beyond is rounding, and no preference


@dataclass(frozen=True)
class PairedComparison:
    """Model A against model B, over prompts where both have a usable preference.

    difference: percentage points, the win rate of A less that of B; interval: 95 %, Student's t of
        the paired differences (`mean_interval` where they are all alike).
    p_value: two-sided sign-flip permutation test of the mean difference; p_method: "exact" where
        all flips were tried, else "monte_carlo" with a fixed seed.
    n_a_better, n_b_better, n_equal: prompts where A's preference is higher, lower, the same.
    n_only_a_wins, n_only_b_wins: McNemar's discordant counts, prompts that one model wins
        (preference above 1.5) and the other does not; mcnemar_p: its exact two-sided test.
    p_adjusted: p_value corrected for several comparisons (Holm), where there were several.
    n: prompts compared; n_left_out: those where either preference is missing.
    """

    difference: float
    interval: Interval
    p_value: float
    p_method: Literal["exact", "monte_carlo"]
    n: int
    n_a_better: int
    n_b_better: int
    n_equal: int
    n_only_a_wins: int
    n_only_b_wins: int
    mcnemar_p: float
    n_left_out: int = 0
    p_adjusted: float | None = None


def paired_comparison(
    preferences_a: Sequence[float | None],
    preferences_b: Sequence[float | None],
    *,
    seed: int = 0,
) -> PairedComparison:
    """Compare two models by their preferences (1.0 … 2.0) against the same references.

    Both sequences are in the order of the prompts. A prompt where either preference is None, NaN or
    off the scale is left out of both; 0 is AlpacaEval's older spelling of a draw.

    Raises ValueError when the lengths differ or fewer than two prompts are left.
    """
    if len(preferences_a) != len(preferences_b):
        raise ValueError(
            f"paired_comparison: {len(preferences_a)} preferences of one model and "
            f"{len(preferences_b)} of the other; give one a prompt, in the same order"
        )
    a, b = _scores(preferences_a), _scores(preferences_b)
    both = np.isfinite(a) & np.isfinite(b)
    a, b = a[both], b[both]
    if a.size < 2:
        raise ValueError(
            f"paired_comparison: {a.size} prompts have a usable preference of both models; two "
            "are needed"
        )
    difference = np.round(a - b, _DECIMALS)
    p_value, method = _sign_flip_test(difference, seed)
    only_a = int(((a > _DRAW) & (b <= _DRAW)).sum())
    only_b = int(((b > _DRAW) & (a <= _DRAW)).sum())
    low, high = _interval(difference)
    return PairedComparison(
        difference=float(difference.mean() * 100),
        interval=(100 * low, 100 * high),
        p_value=p_value,
        p_method=method,
        n=int(a.size),
        n_a_better=int((difference > 0).sum()),
        n_b_better=int((difference < 0).sum()),
        n_equal=int((difference == 0).sum()),
        n_only_a_wins=only_a,
        n_only_b_wins=only_b,
        mcnemar_p=_mcnemar(only_a, only_b),
        n_left_out=len(preferences_a) - int(a.size),
    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values of several tests so that any false alarm among them is as rare as in one.

    Source: Holm, "A simple sequentially rejective multiple test procedure" (1979). Uniformly more
    powerful than Bonferroni's correction and, as that, valid for tests that depend on each other.
    """
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, i in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[i]))
        adjusted[i] = highest
    return adjusted


def with_holm(comparisons: Sequence[PairedComparison]) -> list[PairedComparison]:
    """The comparisons with `p_adjusted` set, as one family of tests."""
    adjusted = holm([comparison.p_value for comparison in comparisons])
    return [replace(each, p_adjusted=p) for each, p in zip(comparisons, adjusted, strict=True)]


def _scores(preferences: Sequence[float | None]) -> np.ndarray:
    scores = np.array([math.nan if p is None else float(p) for p in preferences], dtype=np.float64)
    scores[scores == 0.0] = _DRAW
    scores[~((scores >= 1.0) & (scores <= 2.0))] = math.nan
    return scores


def _sign_flip_test(
    difference: np.ndarray, seed: int
) -> tuple[float, Literal["exact", "monte_carlo"]]:
    """Under "no difference" each prompt's difference could as well have the other sign."""
    from scipy.stats import permutation_test

    # A flip of nothing changes nothing: without those prompts more tests can be exact.
    changing = difference[difference != 0]
    if changing.size < 2:  # with one, either sign is as far from none
        return 1.0, "exact"
    is_exact = 2**changing.size <= _N_RESAMPLES
    result = permutation_test(
        (changing,),
        lambda values, axis: values.sum(axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=_N_RESAMPLES,
        batch=_BATCH,
        rng=np.random.default_rng(seed),
    )
    return float(result.pvalue), "exact" if is_exact else "monte_carlo"


def _interval(difference: np.ndarray) -> Interval:
    from scipy.stats import ttest_1samp

    if np.ptp(difference) < 2 * 10**-_DECIMALS:  # a width of zero would claim too much
        return mean_interval(difference, -1.0, 1.0)
    low, high = ttest_1samp(difference, 0.0).confidence_interval(0.95)
    return max(-1.0, float(low)), min(1.0, float(high))


def _mcnemar(only_a: int, only_b: int) -> float:
    from scipy.stats import binomtest

    if only_a + only_b == 0:
        return 1.0
    return float(binomtest(only_a, only_a + only_b).pvalue)
