"""The report's plots, each a function from numbers to the bytes of a PNG.

Colours are Okabe and Ito's colour-blind safe palette, and no plot tells things apart by colour
alone. Figures are made without pyplot: no global state, no display, safe in threads.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .scaling import ScalingFit, scaling_coefficient

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#F0E442",
)
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
_WIDE_PIXELS = 1_000  # at 144 dpi; a plot of one panel has 835
INK, GRID = "#333333", "#dddddd"
_MARKERS = "osD^vP"
_DASHES = ("-", "--", "-.", ":")


def png_data_uri(png: bytes) -> str:
    """Return PNG bytes as a data URI, for an image inside a page or Markdown."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def is_wide_png(png: bytes) -> bool:
    """Tell whether a plot is so wide (several panels) that a phone cannot show it in one."""
    return len(png) >= 20 and int.from_bytes(png[16:20], "big") >= _WIDE_PIXELS


def ratings_histogram(
    ratings: Sequence[float], thresholds: Sequence[float] = (), title: str = "Ratings"
) -> bytes:
    """Return a histogram of ratings (1 … 5, bins of 0.25) with the selection thresholds marked."""
    figure, axes = _new_figure(title)
    axes.hist(ratings, bins=np.arange(1.0, 5.01, 0.25), color=BLUE, edgecolor="white", zorder=2)
    for number, threshold in enumerate(thresholds):
        n_selected = sum(rating >= threshold for rating in ratings)
        axes.axvline(
            threshold,
            color=RED,
            linestyle=_DASHES[(number + 1) % len(_DASHES)],
            label=f"≥ {threshold:g}: {n_selected:,} of {len(ratings):,}",
        )
    _legend(axes)
    axes.set(xlabel="rating", ylabel="pairs", xlim=(1, 5))
    return to_png(figure)


def lengths_histogram(
    lengths_chars: Mapping[str, Sequence[int]], title: str = "Lengths", n_bins: int = 30
) -> bytes:
    """Return outlines of length distributions (characters) of several data sets, each to 100 %."""
    figure, axes = _new_figure(title)
    pooled = [length for lengths in lengths_chars.values() for length in lengths]
    bins = np.histogram_bin_edges(pooled or [0, 1], bins=n_bins)
    for number, (name, lengths) in enumerate(lengths_chars.items()):
        if not len(lengths):
            continue
        axes.hist(
            lengths,
            bins=bins,
            weights=np.full(len(lengths), 100 / len(lengths)),
            histtype="step",
            linewidth=1.8,
            color=PALETTE[number % len(PALETTE)],
            linestyle=_DASHES[number % len(_DASHES)],
            label=f"{name} (n = {len(lengths):,})",
        )
    _legend(axes)
    axes.set(xlabel="characters", ylabel="% of examples")
    return to_png(figure)


def loss_curve(
    train: Sequence[tuple[float, float]],
    held_out: Sequence[tuple[float, float]] = (),
    title: str = "Loss",
) -> bytes:
    """Return the training and held-out loss over steps; points are (step, loss per token)."""
    figure, axes = _new_figure(title)
    if train:
        steps, losses = zip(*train, strict=True)
        axes.plot(steps, losses, color=BLUE, linewidth=1.4, label="training", zorder=2)
    if held_out:
        steps, losses = zip(*held_out, strict=True)
        axes.plot(steps, losses, color=RED, marker="o", linestyle="--", label="held out", zorder=3)
    _legend(axes)
    axes.set(xlabel="step", ylabel="loss per output token (nats)")
    return to_png(figure)


def scaling_plot(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    title: str = "Win rate against data size",
) -> bytes:
    """Return win rates against data size on a log axis, each series with its fitted line.

    series: name → (sizes, win rates in percent). The legend gives α where two sizes allow a fit.
    """
    figure, axes = _new_figure(title)
    axes.set_xscale("log")
    for number, (name, (sizes, rates)) in enumerate(series.items()):
        colour = PALETTE[number % len(PALETTE)]
        fit: ScalingFit | None = None
        if len(set(sizes)) > 1:
            fit = scaling_coefficient(sizes, rates)
            ends = [min(sizes), max(sizes)]
            axes.plot(ends, [fit.predict(n) for n in ends], color=colour, linewidth=1.2, alpha=0.7)
        label = name if fit is None else f"{name} (α = {fit.alpha:.2f})"
        axes.plot(sizes, rates, _MARKERS[number % 6], color=colour, label=label, zorder=3)
    _legend(axes)
    axes.set(xlabel="training examples", ylabel="win rate (%)")
    return to_png(figure)


def win_rate_bars(
    rows: Sequence[tuple[str, float, float]], title: str = "Win rate over the reference answers"
) -> bytes:
    """Return horizontal bars of win rates; rows are (model, rate, standard error), in percent.

    Whiskers are ± one standard error; the dotted line is 50 %, as good as the reference.
    """
    figure, axes = _new_figure(title, height=1.1 + 0.5 * max(len(rows), 1))
    names = [name for name, _, _ in rows]
    rates = [rate for _, rate, _ in rows]
    errors = [0.0 if np.isnan(error) else error for _, _, error in rows]
    axes.barh(names, rates, xerr=errors, color=SKY, ecolor=INK, capsize=4, height=0.6, zorder=2)
    for position, (rate, error) in enumerate(zip(rates, errors, strict=True)):
        axes.annotate(
            f"{rate:.1f}",
            (rate + error, position),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            color=INK,
        )
    axes.axvline(50, color=INK, linestyle=":", linewidth=1)
    axes.invert_yaxis()
    axes.set(xlabel="win rate (%)", xlim=(0, 108))
    return to_png(figure)


def _highest_at_each(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values of x, falling, each with the highest y it has."""
    distinct, group = np.unique(x, return_inverse=True)
    highest = np.full(distinct.size, -np.inf)
    np.maximum.at(highest, group, y)
    return distinct[::-1], highest[::-1]


def _new_figure(title: str, width: float = 5.8, height: float = 3.3) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    return figure, axes


def _legend(axes: Axes) -> None:
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, fontsize=9)


def to_png(figure: Any, dpi: int = 144) -> bytes:
    """Return a figure as PNG bytes; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
    return buffer.getvalue()
