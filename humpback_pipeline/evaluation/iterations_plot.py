"""Quality of the rater and change of its set, iteration by iteration: when to stop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .plots import BLUE, GREEN, ORANGE, PURPLE, _legend, _new_figure, to_png

_LINES = (
    ("precision", "precision on labelled pairs", BLUE, "o", "-"),
    ("recall", "recall", ORANGE, "s", "--"),
    ("auc", "AUC", GREEN, "D", "-."),
    ("jaccard", "overlap with the set before", PURPLE, "^", ":"),
)


def iterations_plot(rows: Sequence[Mapping[str, Any]], title: str = "Iterations") -> bytes:
    """Return a PNG of precision, recall, AUC and overlap over the iterations.

    rows: one an iteration, with its number under `iteration` and each measure from 0 to 1, or None
    where it could not be taken. Whiskers: 95 % interval of the precision (`precision_low`,
    `precision_high`).
    """
    figure, axes = _new_figure(title)
    for name, label, colour, marker, dash in _LINES:
        points = [row for row in rows if row.get(name) is not None]
        if not points:
            continue
        at, values = ([row[key] for row in points] for key in ("iteration", name))
        axes.plot(at, values, marker=marker, linestyle=dash, color=colour, label=label, zorder=3)
        if name == "precision":
            lows = [row["precision"] - row["precision_low"] for row in points]
            highs = [row["precision_high"] - row["precision"] for row in points]
            axes.errorbar(at, values, yerr=(lows, highs), fmt="none", ecolor=colour, capsize=4)
    _legend(axes)
    axes.set(xlabel="iteration", ylim=(0, 1.05), xticks=[row["iteration"] for row in rows])
    return to_png(figure)
