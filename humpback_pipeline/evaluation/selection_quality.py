"""How well a rater's threshold separates good pairs from bad ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PrecisionRecall:
    """The quality of "select every pair rated at or above the threshold".

    precision: share of the selected pairs that are good; 0.0 when nothing is selected.
    recall: share of the good pairs that are selected; 0.0 when there is no good pair.
    auc: probability that a good pair is rated above a bad one, ties counting half; 0.5 (no
        information) when all labels are the same. Independent of the threshold.
    n_selected, n_positive, n: pairs selected, pairs labelled good, all pairs. No field is ever NaN.
    """

    precision: float
    recall: float
    auc: float
    n_selected: int
    n_positive: int
    n: int
    threshold: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall; 0.0 where both are."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def precision_recall(
    ratings: Sequence[float], labels: Sequence[bool], threshold: float
) -> PrecisionRecall:
    """Return precision and recall of `rating >= threshold` against labels, and the ratings' AUC.

    ratings: one number a pair (any scale; the pipeline's is 1 … 5). labels: True (or 1) for a good
    pair. threshold: the least rating that is selected.

    Raises ValueError on no pairs, unequal lengths, a rating that is not finite, a label that is
    neither true nor false. Source: paper, selection quality on 250 labelled pairs.
    """
    scores = np.asarray(ratings, dtype=np.float64)
    if scores.size == 0 or scores.size != len(labels):
        raise ValueError(
            f"precision_recall: {scores.size} ratings and {len(labels)} labels; "
            "give one label a rating, and at least one"
        )
    if not np.isfinite(scores).all():
        raise ValueError("precision_recall: every rating must be a finite number")
    if any(label not in (0, 1) for label in labels):
        raise ValueError("precision_recall: every label must be true or false")
    good = np.asarray(labels, dtype=bool)
    selected = scores >= threshold
    n_hits = int((selected & good).sum())
    n_selected, n_positive = int(selected.sum()), int(good.sum())
    return PrecisionRecall(
        precision=n_hits / n_selected if n_selected else 0.0,
        recall=n_hits / n_positive if n_positive else 0.0,
        auc=_auc(scores, good),
        n_selected=n_selected,
        n_positive=n_positive,
        n=int(scores.size),
        threshold=float(threshold),
    )


def _auc(scores: np.ndarray, good: np.ndarray) -> float:
    if good.all() or not good.any():
        return 0.5
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(good, scores))
