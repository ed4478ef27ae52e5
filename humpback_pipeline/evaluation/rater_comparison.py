"""Raters and scorers side by side on pairs whose quality is known.

Everything is computed from one table of ratings, so a rule can change without rating again.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from .intervals import auc_interval, f1_interval, wilson_interval
from .selection_quality import PrecisionRecall, precision_recall

Row = dict[str, Any]
# From ratings and labels to the lowest rating that is selected; None: nothing is.
FindThreshold = Callable[[Sequence[float], Sequence[int]], float | None]
Thresholds = Mapping[tuple[str, str], float | None]
GROUP = ["rater", "scorer"]
# Below so many pairs of either label an interval is wide: a table says so.
FEW_PAIRS = 30
# Its ratings of the pairs it is fitted on come from the folds that did not see them.
CROSS_VALIDATED_SCORERS = frozenset({"calibrated"})


def compare_selection(
    ratings: pl.DataFrame,
    find_threshold: FindThreshold,
    thresholds: Thresholds | None = None,
) -> list[Row]:
    """How well each rater finds the good pairs with each scorer, in the table's order.

    ratings: columns rater, scorer, label (1 or 0), rating, error; one row a pair. thresholds:
    (rater, scorer) → rating, found elsewhere; for others `find_threshold` looks among these.

    Rows: rater, scorer, precision, recall, f1, auc, each with `_interval` (95 %), threshold (None:
    the rule selects nothing, such as by a precision that is not reached), n_selected, n_positive,
    n, n_errors, few_pairs, cross_validated. An interval of (0, 1) and the figures of
    `PrecisionRecall` stand where nothing could be measured.
    """
    rows = []
    for rater, scorer, frame in _groups(ratings):
        labels, values = frame["label"].to_list(), frame["rating"].to_list()
        if thresholds is not None and (rater, scorer) in thresholds:
            threshold = thresholds[rater, scorer]
        else:
            threshold = find_threshold(values, labels)
        measured = precision_recall(values, labels, _lowest_selected(threshold))
        rows.append(
            {
                "rater": rater,
                "scorer": scorer,
                "precision": measured.precision,
                "recall": measured.recall,
                "f1": measured.f1,
                "auc": measured.auc,
                **_intervals(measured),
                "threshold": threshold,
                "n_selected": measured.n_selected,
                "n_positive": measured.n_positive,
                "n": measured.n,
                "n_errors": frame["error"].is_not_null().sum(),
                "few_pairs": min(measured.n_positive, measured.n - measured.n_positive) < FEW_PAIRS,
                "cross_validated": not thresholds and scorer in CROSS_VALIDATED_SCORERS,
            }
        )
    return rows


def compare_by_flaw(ratings: pl.DataFrame, thresholds: Thresholds) -> list[Row]:
    """AUC of all good pairs against the bad ones of each kind, and the share of these selected.

    ratings: as `compare_selection`, with the column kind. Rows: rater, scorer, flaw, auc,
    auc_interval, selected (share of the flawed pairs at or above the threshold), n, n_positive.
    """
    rows = []
    for rater, scorer, frame in _groups(ratings):
        good = frame.filter(pl.col("label") == 1)
        for (kind,), bad in frame.filter(pl.col("label") == 0).group_by(
            "kind", maintain_order=True
        ):
            both = pl.concat([good, bad])
            threshold = _lowest_selected(thresholds[rater, scorer])
            auc = precision_recall(both["rating"].to_list(), both["label"].to_list(), threshold).auc
            rows.append(
                {
                    "rater": rater,
                    "scorer": scorer,
                    "flaw": str(kind) or "(not named)",
                    "auc": auc,
                    "auc_interval": auc_interval(auc, good.height, bad.height),
                    "selected": (bad["rating"] >= threshold).sum() / bad.height,
                    "n": bad.height,
                    "n_positive": good.height,
                }
            )
    return rows


def thresholds_of(rows: list[Row]) -> dict[tuple[str, str], float | None]:
    """(rater, scorer) → threshold of the rows of `compare_selection`."""
    return {(row["rater"], row["scorer"]): row["threshold"] for row in rows}


def _lowest_selected(threshold: float | None) -> float:
    return math.inf if threshold is None else threshold


def _intervals(measured: PrecisionRecall) -> dict[str, tuple[float, float]]:
    n_hits = round(measured.recall * measured.n_positive)
    n_bad = measured.n - measured.n_positive
    return {
        "precision_interval": wilson_interval(n_hits, measured.n_selected),
        "recall_interval": wilson_interval(n_hits, measured.n_positive),
        "f1_interval": f1_interval(
            n_hits, measured.n_selected - n_hits, measured.n_positive, n_bad
        ),
        "auc_interval": auc_interval(measured.auc, measured.n_positive, n_bad),
    }


def _groups(ratings: pl.DataFrame) -> Iterator[tuple[str, str, pl.DataFrame]]:
    for (rater, scorer), frame in ratings.group_by(GROUP, maintain_order=True):
        yield str(rater), str(scorer), frame
