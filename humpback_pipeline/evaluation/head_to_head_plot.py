"""The matrix of win rates between models, as a heat map that needs no colours to be read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .head_to_head import SIGNIFICANT
from .plots import INK, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_CELL = 1.15  # inches
# Violet to orange: told apart by all kinds of colour vision; white is 50 %.
_COLOURS = "PuOr_r"
_DARK = 0.45  # luminance below which text on the cell is white


def head_to_head_plot(rows: Sequence[Mapping[str, Any]], models: Sequence[str]) -> bytes:
    """Return a PNG: how often the row's model is preferred to the column's, in percent.

    rows: those of `pair_rows`. Each cell holds the rate, its 95 % interval, and a star where the
    pair differs by more than chance (Holm-corrected p below 0.05). A pair without a row is "–".
    """
    from matplotlib.figure import Figure

    n = max(len(models), 1)
    figure = Figure(figsize=(2.6 + _CELL * n, 1.9 + 0.8 * n), layout="constrained")
    axes = figure.add_subplot()
    found = {(row["model"], row["opponent"]): row for row in rows}
    grid = np.full((n, n), np.nan)
    for i, model in enumerate(models):
        for j, opponent in enumerate(models):
            if row := found.get((model, opponent)):
                grid[i, j] = row["rate"]
    image = axes.imshow(grid, cmap=_COLOURS, vmin=0, vmax=100, aspect="auto")
    for i, model in enumerate(models):
        for j, opponent in enumerate(models):
            _write(axes, i, j, found.get((model, opponent)), image)
    axes.set_xticks(range(len(models)), models)
    axes.set_yticks(range(len(models)), models)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="… to the answers of", ylabel="answers of … are preferred")
    axes.tick_params(colors=INK, labelsize=10, length=0)
    axes.spines[:].set_visible(False)
    axes.set_xticks(np.arange(n + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(n + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=2)
    axes.tick_params(which="minor", length=0)
    figure.text(
        0.01,
        0.01,
        "% of prompts, with 95 % interval; * p < 0.05 after Holm's correction",
        fontsize=8,
        color=INK,
    )
    figure.get_layout_engine().set(rect=(0, 0.05, 1, 0.95))
    return to_png(figure)


def _write(axes: Axes, i: int, j: int, row: Mapping[str, Any] | None, image: Any) -> None:
    if row is None:
        axes.text(j, i, "–", ha="center", va="center", color=INK, fontsize=11)
        return
    red, green, blue, _ = image.cmap(image.norm(row["rate"]))
    colour = "white" if 0.299 * red + 0.587 * green + 0.114 * blue < _DARK else "black"
    star = "*" if row["p_adjusted"] < SIGNIFICANT else ""
    axes.text(
        j,
        i - 0.13,
        f"{row['rate']:.0f}{star}",
        ha="center",
        va="center",
        color=colour,
        fontsize=13,
        fontweight="bold" if star else "normal",
    )
    interval = f"{row['low']:.0f}–{row['high']:.0f}"
    axes.text(j, i + 0.24, interval, ha="center", va="center", color=colour, fontsize=8.5)
