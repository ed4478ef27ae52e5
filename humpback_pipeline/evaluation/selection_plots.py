"""The plot of selection quality: precision against recall, a panel a rater, a curve a scorer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .plots import GRID, INK, PALETTE, to_png
from .selection_quality import precision_recall

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.lines import Line2D

Rated = tuple[Sequence[float], Sequence[int]]
_N_COLUMNS = 2
_PANEL_WIDTH, _PANEL_HEIGHT = 4.2, 3.3
_DASHES = ("-", "--", "-.", ":")
_MARKERS = "osD^vPXd"


@dataclass(frozen=True)
class _Style:
    colour: str
    dashes: str
    mark: str
    is_main: bool


def precision_recall_panels(
    raters: Mapping[str, Mapping[str, Rated]],
    thresholds: Mapping[tuple[str, str], float | None],
    emphasised: str | None = None,
) -> bytes:
    """Return a PNG with precision against recall over all thresholds.

    raters: rater → scorer → (ratings, labels 1 or 0). thresholds: (rater, scorer) → rating, marked
    on its curve if there is one. emphasised: the scorer drawn thickest. The dotted line is the
    precision of selecting everything. A scorer has the same colour, dashes and mark in every panel;
    ratings whose labels hold no positive are left out.
    """
    from matplotlib.figure import Figure

    scorers = list(dict.fromkeys(scorer for curves in raters.values() for scorer in curves))
    styles = {
        scorer: _Style(
            colour=PALETTE[number % len(PALETTE)],
            dashes=_DASHES[number % len(_DASHES)],
            mark=_MARKERS[number % len(_MARKERS)],
            is_main=scorer == emphasised,
        )
        for number, scorer in enumerate(scorers)
    }
    n_columns = max(1, min(_N_COLUMNS, len(raters)))
    n_rows = max(1, math.ceil(len(raters) / n_columns))
    size = (max(_PANEL_WIDTH * n_columns, 5.8), _PANEL_HEIGHT * n_rows + 0.6)
    figure = Figure(figsize=size, layout="constrained")
    lines: dict[str, Line2D] = {}
    for position, (rater, curves) in enumerate(raters.items(), start=1):
        axes = figure.add_subplot(n_rows, n_columns, position)
        _decorate(axes, f"rated by {rater}")
        for scorer, (ratings, labels) in curves.items():
            if any(labels):
                at = thresholds.get((rater, scorer))
                lines[scorer] = _draw(axes, ratings, [bool(b) for b in labels], at, styles[scorer])
    if lines:
        figure.legend(
            list(lines.values()),
            [f"{name} (in use)" if styles[name].is_main else name for name in lines],
            loc="outside lower center",
            ncols=min(4, len(lines)),
            frameon=False,
            fontsize=9,
        )
    return to_png(figure)


def _decorate(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.7)
    axes.tick_params(colors=INK, labelsize=9)
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.03), ylim=(0, 1.05))


def _draw(
    axes: Axes,
    ratings: Sequence[float],
    labels: Sequence[bool],
    threshold: float | None,
    style: _Style,
) -> Line2D:
    (line,) = axes.plot(
        *_curve(ratings, labels),
        drawstyle="steps-post",
        color=style.colour,
        linestyle=style.dashes,
        linewidth=2.6 if style.is_main else 1.3,
        zorder=3 if style.is_main else 2,
    )
    if threshold is not None:
        at = precision_recall(ratings, labels, threshold)
        axes.plot(at.recall, at.precision, style.mark, color=style.colour, markersize=7, zorder=4)
    axes.axhline(sum(labels) / len(labels), color=INK, linestyle=":", linewidth=1)
    return line


def _curve(ratings: Sequence[float], labels: Sequence[bool]) -> tuple[np.ndarray, np.ndarray]:
    """Recall, falling, and the highest precision at each."""
    from sklearn.metrics import precision_recall_curve

    precision, recall, _ = precision_recall_curve(np.asarray(labels, bool), ratings)
    distinct, group = np.unique(recall, return_inverse=True)
    highest = np.zeros(distinct.size)
    np.maximum.at(highest, group, precision)
    return distinct[::-1], highest[::-1]
