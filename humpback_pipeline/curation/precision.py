"""How precise a threshold on ratings is, as far as labelled pairs can tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

CONFIDENCE = 0.95


@dataclass(frozen=True)
class LabelledPrecision:
    """Precision of "keep ratings at or above `threshold`" on labelled pairs.

    n_selected, n_good: labelled pairs at or above it, and those of them labelled good. n: all
    labelled pairs. low, high: Wilson's interval of the precision, 95 %; wide with few pairs.
    """

    threshold: float
    precision: float
    low: float
    high: float
    n_selected: int
    n_good: int
    n: int

    def __str__(self) -> str:
        return (
            f"precision {self.precision:.2f} at ratings of {self.threshold:.2f} or more "
            f"({self.n_good} of {self.n_selected} labelled pairs good; 95 % interval "
            f"{self.low:.2f} to {self.high:.2f})"
        )


@dataclass(frozen=True)
class TargetPrecision:
    """The lowest threshold that reaches a target; None where none does. `best`: the most precise.

    Of thresholds equally precise the best is the lowest, which selects most.
    """

    target: float
    found: LabelledPrecision | None
    best: LabelledPrecision


def find_target_precision(labelled: pl.DataFrame, target: float) -> TargetPrecision:
    """Look at every rating a labelled pair has as a threshold.

    labelled: columns rating and label (1: good); rows with a null in either do not count. The
    precision of so few pairs is uncertain, so the interval stands beside it. Raises ValueError
    without labelled pairs.
    """
    ratings, good = _known(labelled)
    if not len(ratings):
        raise ValueError(
            "curation.selection.target_precision needs rated labelled pairs: see "
            "evaluation.labelled_pairs"
        )
    thresholds = np.unique(ratings)
    order = np.argsort(ratings)
    place = np.searchsorted(ratings[order], thresholds)
    n_selected = len(ratings) - place
    n_good = good.sum() - np.concatenate([[0], np.cumsum(good[order])])[place]
    precision = n_good / n_selected
    reached = np.flatnonzero(n_good >= target * n_selected - 1e-9)

    def at(number: int) -> LabelledPrecision:
        counts = int(n_good[number]), int(n_selected[number])
        return _with_interval(float(thresholds[number]), *counts, len(ratings))

    found = at(int(reached[0])) if len(reached) else None
    return TargetPrecision(target, found, at(int(np.argmax(precision))))


def precision_at(labelled: pl.DataFrame, threshold: float) -> LabelledPrecision | None:
    """Precision at a threshold; None where no labelled pair is rated as high."""
    ratings, good = _known(labelled)
    selected = ratings >= threshold
    n_selected = int(selected.sum())
    if not n_selected:
        return None
    return _with_interval(threshold, int(good[selected].sum()), n_selected, len(ratings))


def _known(labelled: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    known = labelled.select(pl.col("rating").fill_nan(None), "label").drop_nulls()
    return known["rating"].to_numpy(), (known["label"] == 1).to_numpy()


def _with_interval(threshold: float, n_good: int, n_selected: int, n: int) -> LabelledPrecision:
    from scipy.stats import binomtest

    interval = binomtest(n_good, n_selected).proportion_ci(CONFIDENCE, method="wilson")
    return LabelledPrecision(
        threshold=threshold,
        precision=n_good / n_selected,
        low=float(interval.low),
        high=float(interval.high),
        n_selected=n_selected,
        n_good=n_good,
        n=n,
    )
