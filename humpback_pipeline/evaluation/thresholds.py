"""The rating from which on pairs are selected, as a recipe's selection rule says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_LOWEST_RATING = 1.0


@dataclass(frozen=True)
class ThresholdRule:
    """A selection rule that is applied to any scorer's ratings of labelled pairs.

    min_rating: at or above it. top_fraction: that share of the pairs, at least one; ratings equal
    to the last one are in. top_k: so many pairs of a whole corpus, which says nothing about
    labelled pairs: as many are taken as there are good ones. target_precision: the lowest
    threshold whose precision reaches it, else the one whose precision is highest (the lower of
    equals); measured on the pairs it is chosen on, so a little flattering. A pair must pass all
    rules that are given.
    """

    min_rating: float | None = None
    top_fraction: float | None = None
    top_k: int | None = None
    target_precision: float | None = None

    def threshold(self, ratings: Sequence[float], labels: Sequence[int]) -> float:
        """The rating that the rule's selection of these pairs ends at.

        Raises ValueError without pairs.
        """
        if not len(ratings):
            raise ValueError("threshold: there is no rating to find a threshold among")
        thresholds = [self.min_rating if self.min_rating is not None else _LOWEST_RATING]
        if self.top_fraction is not None:
            thresholds.append(_nth_highest(ratings, round(len(ratings) * self.top_fraction)))
        if self.top_k is not None:
            thresholds.append(_nth_highest(ratings, sum(labels)))
        if self.target_precision is not None:
            thresholds.append(_precise_threshold(ratings, labels, self.target_precision))
        return max(thresholds)

    def describe(self) -> str:
        """The rule in words."""
        words = []
        if self.min_rating is not None:
            words.append(f"rating ≥ {self.min_rating:g}")
        if self.top_fraction is not None:
            words.append(f"the best {self.top_fraction:.0%} of the labelled pairs")
        if self.top_k is not None:
            words.append("as many pairs as are good (top_k is about a corpus)")
        if self.target_precision is not None:
            words.append(f"the lowest rating with precision ≥ {self.target_precision:g}")
        return " and ".join(words)


def _nth_highest(ratings: Sequence[float], n: int) -> float:
    return float(sorted(ratings, reverse=True)[max(1, n) - 1])


def _precise_threshold(ratings: Sequence[float], labels: Sequence[int], target: float) -> float:
    scores, good = np.asarray(ratings, np.float64), np.asarray(labels, bool)
    thresholds = np.unique(scores)  # rising
    precisions = np.array([good[scores >= t].mean() for t in thresholds])
    reached = np.flatnonzero(precisions >= target)
    return float(thresholds[reached[0] if reached.size else precisions.argmax()])
