"""Does the judge go by the order in which two answers are shown?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from .intervals import Interval, wilson_interval
from .mean_intervals import mean_interval
from .pairwise import Preference


@dataclass(frozen=True)
class PositionBias:
    """How a judge's verdicts depend on the order.

    bias: mean over prompts of P(better | shown first) - P(better | shown second), from -1 (always
    the second) to 1 (always the first), 0 for a judge that does not look at the order; interval:
    95 %. flip_rate: share of the prompts whose verdict is another one in the other order, with its
    95 % interval. first_rate: how often the answer shown first is preferred, over both orders, a
    verdict of exactly one half counting half. n: prompts.
    """

    bias: float
    interval: Interval
    flip_rate: float
    flip_interval: Interval
    first_rate: float
    n: int


def position_bias(preferences: Sequence[Preference]) -> PositionBias | None:
    """Measure the bias on pairs judged in both orders; None without any that was not refused.

    Averaging both orders takes the bias out of the win rate: it adds to one order what it takes
    from the other. What it costs is precision.
    """
    judged = [preference for preference in preferences if not preference.is_refused]
    if not judged:
        return None
    differences = [p.p_first_order - p.p_second_order for p in judged]
    n_flips = sum(preference.flips for preference in judged)
    # Of the second order the model's own probability is that of the answer shown second.
    seen_first = [p for each in judged for p in (each.p_first_order, 1 - each.p_second_order)]
    return PositionBias(
        bias=fmean(differences),
        interval=mean_interval(differences, -1.0, 1.0),
        flip_rate=n_flips / len(judged),
        flip_interval=wilson_interval(n_flips, len(judged)),
        first_rate=fmean(1.0 if p > 0.5 else 0.5 if p == 0.5 else 0.0 for p in seen_first),
        n=len(judged),
    )
