"""How a share changed between two models that met the same questions, and whether by chance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from humpback_pipeline.evaluation.intervals import Interval, wilson_interval
from humpback_pipeline.evaluation.paired_tests import holm, paired_comparison


@dataclass(frozen=True)
class ShareChange:
    """n: questions; gained, lost: those where only the second, or only the first, scores.

    difference: second share - first; low, high: its 95 % interval; p_value: McNemar's exact test,
    which can only be below 0.05 where 6 or more were gained and lost; p_adjusted: Holm's, as one of
    several tests.
    """

    n: int
    gained: int
    lost: int
    difference: float
    low: float
    high: float
    p_value: float
    p_adjusted: float | None = None


def share_change(first: Sequence[bool], second: Sequence[bool]) -> ShareChange:
    """Compare the outcomes of two models on the same questions, in the same order.

    Raises ValueError for fewer than two questions, or not as many of both.
    """
    # As preferences: 2 scores, 1 does not.
    compared = paired_comparison([1.0 + s for s in second], [1.0 + f for f in first])
    gained, lost = compared.n_only_a_wins, compared.n_only_b_wins
    both = sum(f and s for f, s in zip(first, second, strict=True))
    low, high = _interval(both, gained, lost, compared.n)
    return ShareChange(
        n=compared.n,
        gained=gained,
        lost=lost,
        difference=compared.difference / 100,
        low=low,
        high=high,
        p_value=compared.mcnemar_p,
    )


def adjusted(changes: Sequence[ShareChange]) -> list[ShareChange]:
    """The changes with `p_adjusted` set, as one family of tests."""
    p_values = holm([change.p_value for change in changes])
    return [replace(change, p_adjusted=p) for change, p in zip(changes, p_values, strict=True)]


def _interval(both: int, gained: int, lost: int, n: int) -> Interval:
    """Of the difference of paired shares: never empty, even if no question changed.

    Source: Newcombe, "Improved confidence intervals for the difference between binomial proportions
    based on paired data" (Statistics in Medicine, 1998), method 10.
    """
    first, second = (both + lost) / n, (both + gained) / n
    low_1, high_1 = wilson_interval(both + lost, n)
    low_2, high_2 = wilson_interval(both + gained, n)
    phi = _correlation(both, gained, lost, n - both - gained - lost)
    change = second - first
    down = _spread(second - low_2, high_1 - first, phi)
    up = _spread(high_2 - second, first - low_1, phi)
    return max(-1.0, change - down), min(1.0, change + up)


def _spread(mine: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, mine**2 - 2 * phi * mine * other + other**2))


def _correlation(both: int, gained: int, lost: int, neither: int) -> float:
    margins = (both + lost) * (both + gained) * (neither + gained) * (neither + lost)
    if margins == 0:
        return 0.0
    product = float(both * neither - gained * lost)
    if product > 0:  # the correction for continuity
        product = max(product - (both + gained + lost + neither) / 2, 0.0)
    return product / math.sqrt(margins)
