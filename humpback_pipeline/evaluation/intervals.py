"""95 % intervals of shares, AUCs and F1, that stay honest for small samples and at 0 and 1."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

Interval = tuple[float, float]
NO_INFORMATION: Interval = (0.0, 1.0)
_Z = NormalDist().inv_cdf(0.975)
_N_RESAMPLES = 2_000


def wilson_interval(n_hits: float, n: int) -> Interval:
    """Interval of a share of `n_hits` in `n`; draws may count as half a hit. (0, 1) without any.

    Source: Wilson (1927); unlike share ± 1.96 standard errors it is not empty at 0 or 1.
    """
    if n == 0:
        return NO_INFORMATION
    share = n_hits / n
    weight = _Z**2 / n
    centre = (share + weight / 2) / (1 + weight)
    half = _Z / (1 + weight) * math.sqrt(share * (1 - share) / n + weight / (4 * n))
    return max(0.0, centre - half), min(1.0, centre + half)


def auc_interval(auc: float, n_good: int, n_bad: int) -> Interval:
    """Interval of an AUC measured on `n_good` and `n_bad` pairs; (0, 1) if either is missing.

    Source: Newcombe, "Confidence intervals for an effect size measure based on the Mann–Whitney
    statistic", part 2, method 5 (Statistics in Medicine, 2006): the score interval with Hanley and
    McNeil's variance. A bootstrap of a perfect AUC would give an interval of no width.
    """
    if not n_good or not n_bad:
        return NO_INFORMATION
    return (
        _auc_bound(auc, n_good, n_bad, 0.0),
        _auc_bound(auc, n_good, n_bad, 1.0),
    )


def f1_interval(n_hits: int, n_false: int, n_good: int, n_bad: int) -> Interval:
    """Bootstrap interval of F1, good and bad pairs drawn apart: always the same for the same input.

    n_hits, n_false: good and bad pairs selected, of `n_good` and `n_bad`. Drawing with replacement
    from pairs that are selected or not is drawing from binomial distributions. Where all or none
    of a kind are selected its share is drawn as if one pair were half on the other side.
    """
    if not n_good:
        return NO_INFORMATION
    rng = np.random.default_rng(0)
    hits = rng.binomial(n_good, _inner_share(n_hits, n_good), _N_RESAMPLES)
    false = rng.binomial(n_bad, _inner_share(n_false, n_bad), _N_RESAMPLES)
    low, high = np.quantile(2 * hits / (n_good + hits + false), (0.025, 0.975))
    return float(low), float(high)


def _auc_bound(auc: float, n_good: int, n_bad: int, end: float) -> float:
    """Between `auc` and `end`, where the deviation is as large as 1.96 of its standard errors."""
    spread = (n_good + n_bad) / 2 - 1

    def outside(theta: float) -> bool:
        variance = theta * (1 - theta) / (n_good * n_bad)
        variance *= 1 + spread * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (theta - auc) ** 2 > _Z**2 * variance

    inner, outer = auc, end
    for _ in range(50):
        middle = (inner + outer) / 2
        inner, outer = (inner, middle) if outside(middle) else (middle, outer)
    return (inner + outer) / 2


def _inner_share(n_hits: int, n: int) -> float:
    if n == 0:
        return 0.0
    return min(max(n_hits, 0.5), n - 0.5) / n
