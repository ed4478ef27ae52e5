"""The plot of the data statistics: mean lengths with their deviations, the paper's beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .plots import BLUE, GRID, INK, RED, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PARTS = ("instruction", "output")


def statistics_plot(ours: Sequence[Mapping[str, Any]], paper: Sequence[Mapping[str, Any]]) -> bytes:
    """Return a PNG: a row a data set, its mean length and one standard deviation to either side.

    ours, paper: rows with the columns of `data_statistics`. Ours are filled circles, the paper's
    hollow squares; a set without examples has no mark.
    """
    from matplotlib.figure import Figure

    rows = [*((row, True) for row in ours), *((row, False) for row in paper)]
    figure = Figure(figsize=(9.0, 1.2 + 0.42 * max(len(rows), 1)), layout="constrained")
    labels = [
        f"{row['dataset']} ({row['n_examples']:,})" if is_ours else f"paper: {row['dataset']}"
        for row, is_ours in rows
    ]
    for place, part in enumerate(_PARTS, 1):
        axes = figure.add_subplot(1, len(_PARTS), place)
        _decorate(axes, part)
        for at, (row, is_ours) in enumerate(rows):
            _mark(axes, at, row[f"{part}_chars_mean"], row[f"{part}_chars_sd"], is_ours)
        axes.set_yticks(range(len(rows)), labels if place == 1 else [""] * len(rows))
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.set_xlim(left=0)
    return to_png(figure)


def _mark(axes: Axes, at: int, mean: float | None, sd: float | None, is_ours: bool) -> None:
    if mean is None:
        return
    colour = BLUE if is_ours else RED
    deviation = sd or 0.0
    # No text is shorter than nothing, whatever the deviation.
    axes.hlines(at, max(0.0, mean - deviation), mean + deviation, color=colour, linewidth=1.6)
    face = colour if is_ours else "white"
    axes.plot(mean, at, "o" if is_ours else "s", color=colour, markerfacecolor=face, markersize=7)
    said = f"{mean:,.0f}" if sd is None else f"{mean:,.0f} ± {sd:,.0f}"
    axes.annotate(
        said,
        (mean, at),
        xytext=(0, 7),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=INK,
    )


def _decorate(axes: Axes, part: str) -> None:
    axes.set_title(f"{part} length", loc="left", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.7, axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    axes.set_xlabel("characters (mean ± standard deviation)")
