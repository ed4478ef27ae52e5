"""The rating from which on labelled pairs are selected, as the recipe's selection rule says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

_LOWEST_RATING = 1.0


@dataclass(frozen=True)
class ThresholdRule:
    """A selection rule that is applied to any scorer's ratings of labelled pairs.

    min_rating: at or above it. top_fraction: that share of the pairs, at least one; ratings equal
    to the last one are in. top_k: so many pairs of a whole corpus, which says nothing about
    labelled pairs: as many are taken as there are good ones. target_precision: as curation has it,
    the lowest threshold whose precision reaches it, and no pair at all where none does; measured
    on the pairs it is chosen on, so a little flattering. A pair must pass all rules that are given.
    """

    min_rating: float | None = None
    top_fraction: float | None = None
    top_k: int | None = None
    target_precision: float | None = None

    def threshold(self, ratings: Sequence[float], labels: Sequence[int]) -> float | None:
        """The rating that the rule's selection of these pairs ends at; None: it selects none.

        Raises ValueError without pairs.
        """
        from humpback_pipeline.curation.precision import find_target_precision

        if not len(ratings):
            raise ValueError("threshold: there is no rating to find a threshold among")
        thresholds = [self.min_rating if self.min_rating is not None else _LOWEST_RATING]
        if self.top_fraction is not None:
            thresholds.append(_nth_highest(ratings, round(len(ratings) * self.top_fraction)))
        if self.top_k is not None:
            thresholds.append(_nth_highest(ratings, sum(labels)))
        if self.target_precision is not None:
            pairs = pl.DataFrame({"rating": list(ratings), "label": list(labels)})
            found = find_target_precision(pairs, self.target_precision).found
            if found is None:
                return None
            thresholds.append(found.threshold)
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
