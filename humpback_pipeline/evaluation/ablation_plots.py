"""Plots of ablations: win rates against size with the paper's slopes, and bars by study."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .paper import PAPER_SCALING_COEFFICIENTS
from .plots import INK, PALETTE, RED, SKY, _legend, _new_figure, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MARKERS = "osD^vPX*"
_MIN_GAP = 0.055  # of the height, between two labels of the paper's lines
_MIN_TICK_GAP = 0.09  # of the axis, between two sizes named on it
_GREY = "#767676"


def scaling_curves(
    table: Sequence[Mapping[str, Any]], fits: Sequence[Mapping[str, Any]], title: str
) -> bytes:
    """Return a PNG: the win rates of each series against its size, fitted, on a log axis.

    table: rows with series, n_examples, rate, low, high; fits: rows with series, alpha, intercept.
    The paper's published slopes are dashed: of its lines only α is published and not where they
    begin, so all are drawn from where our steepest line begins. Whiskers are 95 % intervals.
    """
    figure, axes = _new_figure(title, width=7.4, height=4.2)
    axes.set_xscale("log")
    by_series: dict[str, list[Mapping[str, Any]]] = {}
    for row in table:
        if row["n_examples"] > 0:
            by_series.setdefault(row["series"], []).append(row)
    lines = {fit["series"]: fit for fit in fits}
    for number, (series, rows) in enumerate(by_series.items()):
        _draw_series(axes, series, rows, lines.get(series), number)
    sizes = [row["n_examples"] for rows in by_series.values() for row in rows]
    if lines and sizes:
        steepest = max(lines.values(), key=lambda fit: fit["alpha"])
        start = min(row["n_examples"] for row in by_series[steepest["series"]])
        at_start = steepest["alpha"] * math.log(start) + steepest["intercept"]
        _draw_paper(axes, start, at_start, max(sizes))
    _legend(axes)
    shown = _spaced(sizes)
    axes.set_xticks(shown, [f"{size:,}" for size in shown])
    axes.minorticks_off()
    axes.set(xlabel="training examples (seeds and augmented pairs)", ylabel="win rate (%)")
    return to_png(figure)


def study_bars(rows: Sequence[Mapping[str, Any]], title: str) -> bytes:
    """Return a PNG: horizontal bars of win rates with 95 % intervals; a diamond is the paper's.

    rows: variant, rate, low, high, paper_rate (None where the paper has no such figure).
    """
    figure, axes = _new_figure(title, height=1.2 + 0.45 * max(len(rows), 1))
    for place, row in enumerate(rows):
        spread = _spread([row])
        axes.barh(place, row["rate"], color=SKY, height=0.6, zorder=2)
        axes.errorbar(row["rate"], place, xerr=spread, color=INK, capsize=4, zorder=3)
        if row["paper_rate"] is not None:
            label = None if axes.get_legend_handles_labels()[0] else "the paper's, 7B"
            axes.plot(row["paper_rate"], place, "D", color=RED, label=label, zorder=4)
    axes.set_yticks(range(len(rows)), [str(row["variant"]) for row in rows])
    axes.axvline(50, color=INK, linestyle=":", linewidth=1)
    axes.invert_yaxis()
    _legend(axes)
    axes.set(xlabel="win rate (%)", xlim=(0, 100))
    return to_png(figure)


def _spaced(sizes: Sequence[int]) -> list[int]:
    """Sizes to name on the axis: each that is far enough from the one named before."""
    ordered = sorted(set(sizes))
    shown = ordered[:1]
    for size in ordered[1:]:
        if math.log(size / shown[-1]) > _MIN_TICK_GAP * math.log(ordered[-1] / ordered[0]):
            shown.append(size)
    return shown


def _spread(rows: Sequence[Mapping[str, Any]]) -> list[list[float]]:
    """How far the intervals reach below and above; rounding must not make that negative."""
    return [
        [max(0.0, row["rate"] - row["low"]) for row in rows],
        [max(0.0, row["high"] - row["rate"]) for row in rows],
    ]


def _draw_series(
    axes: Axes,
    series: str,
    rows: Sequence[Mapping[str, Any]],
    fit: Mapping[str, Any] | None,
    number: int,
) -> None:
    colour = PALETTE[number % len(PALETTE)]
    sizes = [row["n_examples"] for row in rows]
    label = series
    if fit is not None:
        ends = [min(sizes), max(sizes)]
        fitted = [fit["alpha"] * math.log(n) + fit["intercept"] for n in ends]
        axes.plot(ends, fitted, color=colour, linewidth=1.4)
        label = f"{series} (α = {fit['alpha']:.2f})"
    axes.errorbar(
        sizes,
        [row["rate"] for row in rows],
        yerr=_spread(rows),
        fmt=_MARKERS[number % len(_MARKERS)],
        color=colour,
        capsize=3,
        elinewidth=0.8,
        label=label,
        zorder=3,
    )


def _draw_paper(axes: Axes, start: float, rate: float, end: float) -> None:
    """The paper's slopes from one point, each named where it ends."""
    low, high = axes.get_ylim()
    ends = {
        name: rate + alpha * math.log(end / start)
        for name, alpha in sorted(PAPER_SCALING_COEFFICIENTS.items(), key=lambda item: item[1])
    }
    axes.set_ylim(min(low, *ends.values()), max(high, *ends.values()))
    gap = _MIN_GAP * (axes.get_ylim()[1] - axes.get_ylim()[0])
    last = -math.inf
    for name, at_end in ends.items():
        axes.plot([start, end], [rate, at_end], color=_GREY, linewidth=0.8, linestyle="--")
        last = max(at_end, last + gap)
        axes.annotate(
            f"paper: {name} {PAPER_SCALING_COEFFICIENTS[name]:.2f}",
            (end, at_end),
            xytext=(1.02, last),
            textcoords=axes.get_yaxis_transform(),
            va="center",
            fontsize=8,
            color=_GREY,
            annotation_clip=False,
        )
