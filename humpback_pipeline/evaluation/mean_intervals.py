"""95 % intervals of means of bounded values, such as preferences, that suit small samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .intervals import NO_INFORMATION, Interval

_LEVEL = 0.975
_ROUNDING = 1e-12  # a standard error below this is that of arithmetic, and no spread


def share_interval(share: float, standard_error: float, n: int) -> Interval:
    """Interval of a mean of `n` values from 0 to 1; never empty, never past 0 or 1.

    Wilson's score interval with the effective sample size that the standard error stands for and
    Student's quantile: Korn and Graubard (Survey Methodology, 1998), with Wilson's interval in
    place of the exact one. For plain wins and losses it is close to Wilson's; graded preferences
    tell more than wins and losses do, and get a shorter one. Without a spread (all alike, or one
    value) the sample counts as `n` wins and losses, since a width of zero would claim too much.
    """
    from scipy.stats import t

    if n == 0:
        return NO_INFORMATION
    variance = share * (1 - share)
    known = math.isfinite(standard_error) and standard_error > _ROUNDING and variance > 0
    n_effective = max(1.0, variance / standard_error**2) if known else float(n)
    quantile = float(t.ppf(_LEVEL, n - 1)) if known else 1.959963984540054
    weight = quantile**2 / n_effective
    centre = (share + weight / 2) / (1 + weight)
    half = quantile / (1 + weight) * math.sqrt(variance / n_effective + weight / (4 * n_effective))
    # Rounding must not put the mean itself outside.
    return max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))


def mean_interval(
    values: Sequence[float] | np.ndarray, low: float = 0.0, high: float = 1.0
) -> Interval:
    """Interval of the mean of values that lie between `low` and `high`; see `share_interval`."""
    scaled = (np.asarray(values, dtype=np.float64) - low) / (high - low)
    n = int(scaled.size)
    if n == 0:
        return low, high
    error = float(scaled.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan
    below, above = share_interval(float(scaled.mean()), error, n)
    return low + below * (high - low), low + above * (high - low)
