"""The fixed reference that likelihoods are ranked against: pairs that people wrote.

A likelihood by itself means little: it depends on model and subject. Its rank among the same
model's likelihoods for human pairs does, and it is the same in every shard.
"""

from __future__ import annotations

import math
import sys
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from humpback_pipeline.curation.records import HIGHEST, LOWEST
from humpback_pipeline.curation.signals import SIGNALS

MIN_REFERENCE_PAIRS = 20
# The share of human pairs that a rating is above: A_4 takes what all but the worst twentieth of
# people would have written, A_5 (4.5) what all but the worst fifth would.
SHARE_BELOW_4 = 0.05
SHARE_BELOW_4_5 = 0.20
# Several of these still add up to a number.
LOWEST_LOG_RANK = -sys.float_info.max / 1_000
# How fast ratings fall below 4: a tenth of that share is rated 3.
_FALL = 0.5 / math.log(10)


class ReferencePairsError(ValueError):
    """There are too few reference pairs to rank by."""


def check_enough_to_rank_by(n: int) -> None:
    """Raise ReferencePairsError for `n` below `MIN_REFERENCE_PAIRS`; ask before they are read."""
    if n < MIN_REFERENCE_PAIRS:
        raise ReferencePairsError(
            f"{n} reference pairs are too few to rank by; give at least "
            f"{MIN_REFERENCE_PAIRS} seed pairs, or use scorer 'expected'."
        )


@dataclass(frozen=True)
class Reference:
    """Signals of the reference pairs: name → values, one for each pair, in the pairs' order.

    Raises ReferencePairsError below `MIN_REFERENCE_PAIRS` pairs.
    """

    signals: Mapping[str, tuple[float, ...]]

    def __post_init__(self) -> None:
        check_enough_to_rank_by(min((len(values) for values in self.signals.values()), default=0))

    @classmethod
    def of(cls, signals: Iterable[Mapping[str, float]]) -> Reference:
        """From the signals of each reference pair; those that are no numbers rank nothing."""
        rows = [row for row in signals if all(math.isfinite(row[name]) for name in SIGNALS)]
        return cls({name: tuple(row[name] for row in rows) for name in SIGNALS})

    def log_ranks(self, signals: Mapping[str, float], names: Sequence[str]) -> list[float]:
        """ln of the percentile rank of each named signal."""
        return [self._rankings[name].log_rank(signals[name]) for name in names]

    @cached_property
    def _rankings(self) -> dict[str, Ranking]:
        return {name: Ranking(values) for name, values in self.signals.items()}

    def rows(self) -> list[dict[str, float]]:
        """The signals of each reference pair."""
        n = len(next(iter(self.signals.values())))
        return [{name: values[i] for name, values in self.signals.items()} for i in range(n)]


class Ranking:
    """The ranks of values among reference values, sorted once."""

    def __init__(self, reference: Sequence[float]) -> None:
        self._ordered = sorted(reference)
        median, tenth = np.quantile(self._ordered, (0.5, 0.1))
        self._spread = max(float(median - tenth), 1e-9)

    def log_rank(self, value: float) -> float:
        """ln of the share of the reference at or below `value`; finite and increasing everywhere.

        Between two reference values the share is interpolated: with a few dozen of them a crawl's
        pairs would else share as few ranks, and a `top_k` would draw among thousands. Below the
        whole reference it goes on linearly, by the spread of the reference's lower half, so that
        the bad are still told from the worse. What is no number is lowest of all.
        """
        if math.isnan(value):
            return LOWEST_LOG_RANK
        n, n_below = len(self._ordered), bisect_right(self._ordered, value)
        if n_below == n:
            return 0.0
        if n_below:
            low, high = self._ordered[n_below - 1], self._ordered[n_below]
            # Halves, as the difference of the largest numbers is none.
            between = (value / 2 - low / 2) / (high / 2 - low / 2)
            return math.log((n_below + between) / n)
        below = (value - self._ordered[0]) / self._spread
        return max(LOWEST_LOG_RANK, below - math.log(n + 1))


def rating_of_rank(log_share: float) -> float:
    """The rating of a pair that `exp(log_share)` of the human pairs are no better than.

    4.0 at `SHARE_BELOW_4`, 4.5 at `SHARE_BELOW_4_5`, 5.0 for the best; below 4 it falls with the
    logarithm towards 1 and never stands still.
    """
    share = math.exp(min(log_share, 0.0))
    if share >= SHARE_BELOW_4_5:
        rating = 4.5 + 0.5 * (share - SHARE_BELOW_4_5) / (1.0 - SHARE_BELOW_4_5)
    elif share >= SHARE_BELOW_4:
        rating = 4.0 + 0.5 * (share - SHARE_BELOW_4) / (SHARE_BELOW_4_5 - SHARE_BELOW_4)
    else:
        rating = LOWEST + 3.0 / (1.0 + _FALL * (math.log(SHARE_BELOW_4) - log_share))
    return min(HIGHEST, max(LOWEST, rating))
