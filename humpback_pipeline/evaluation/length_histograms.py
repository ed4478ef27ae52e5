"""How long instructions, outputs and answers are: binned counts and their plots.

The bins do not depend on the data, so tables of different runs and sets can be laid side by side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from .plots import GRID, INK, PALETTE, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Part = Literal["instruction", "output"]
Unit = Literal["chars", "tokens"]
# Width of a bin, and where the last one, open above, begins.
BINS: dict[tuple[str, str], tuple[int, int]] = {
    ("instruction", "chars"): (20, 1_200),
    ("output", "chars"): (100, 4_000),
    ("instruction", "tokens"): (5, 300),
    ("output", "tokens"): (25, 1_000),
}
HISTOGRAM_SCHEMA: dict[str, type[pl.DataType]] = {
    "dataset": pl.String,
    "field": pl.String,
    "unit": pl.String,
    "bin_start": pl.Int64,
    "bin_end": pl.Int64,
    "n": pl.Int64,
    "share_of_set": pl.Float64,
}
# Below so many texts a histogram is mostly chance.
FEW_TEXTS = 30
_DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)))
_Z = 1.959963984540054


def binned_lengths(dataset: str, part: Part, unit: Unit, lengths: Sequence[int]) -> pl.DataFrame:
    """Count lengths in the fixed bins; columns `HISTOGRAM_SCHEMA`, every bin a row.

    A bin holds bin_start ≤ length < bin_end; the last has no end. share_of_set: of all these
    lengths.
    """
    width, last = BINS[part, unit]
    places = np.minimum(np.asarray(lengths, dtype=np.int64) // width, last // width)
    counts = np.bincount(places, minlength=last // width + 1)
    starts = [place * width for place in range(len(counts))]
    n = int(counts.sum())
    return pl.DataFrame(
        {
            "dataset": [dataset] * len(starts),
            "field": [part] * len(starts),
            "unit": [unit] * len(starts),
            "bin_start": starts,
            "bin_end": [*(start + width for start in starts[:-1]), None],
            "n": counts.tolist(),
            "share_of_set": [count / n if n else None for count in counts.tolist()],
        },
        schema=HISTOGRAM_SCHEMA,
    )


def summarise_lengths(
    dataset: str, part: Part, unit: Unit, lengths: Sequence[int], *, n_total: int | None = None
) -> dict[str, Any]:
    """Mean with its 95 % interval, sd, median, 5 % and 95 % quantiles and the greatest length.

    n_total: texts that the measured ones are a sample of, if they are. few: fewer than 30 texts.
    """
    values = np.asarray(lengths, dtype=np.float64)
    n = int(values.size)
    row: dict[str, Any] = {
        "dataset": dataset,
        "field": part,
        "unit": unit,
        "n": n,
        "n_total": n if n_total is None else n_total,
        "few": n < FEW_TEXTS,
    }
    if not n:
        return {**row, **dict.fromkeys(("mean", "low", "high", "sd", "p5", "median", "p95", "max"))}
    mean = float(values.mean())
    sd = float(values.std(ddof=1)) if n > 1 else None
    half = _student(n) * sd / math.sqrt(n) if sd is not None else None
    p5, median, p95 = (float(q) for q in np.quantile(values, (0.05, 0.5, 0.95)))
    return {
        **row,
        "mean": mean,
        "low": max(0.0, mean - half) if half is not None else None,
        "high": mean + half if half is not None else None,
        "sd": sd,
        "p5": p5,
        "median": median,
        "p95": p95,
        "max": int(values.max()),
    }


def length_panels(
    histograms: pl.DataFrame,
    panels: Sequence[tuple[str, str]],
    *,
    title: str,
    paper_means: Mapping[str, Mapping[str, float]] | None = None,
) -> bytes:
    """Return a PNG with a panel for each (part, unit), outlines of all data sets in each.

    histograms: `HISTOGRAM_SCHEMA`. paper_means: part → label → mean length in characters, drawn as
    marks on the upper edge. The last bin stands for all longer texts. A data set has the same
    colour and dashes in every panel.
    """
    from matplotlib.figure import Figure

    names = histograms["dataset"].unique(maintain_order=True).to_list()
    figure = Figure(figsize=(4.3 * max(len(panels), 1), 3.9), layout="constrained")
    figure.suptitle(title, fontsize=11, color=INK, x=0.01, ha="left")
    handles: dict[str, Any] = {}
    for place, (part, unit) in enumerate(panels, 1):
        axes = figure.add_subplot(1, len(panels), place)
        _decorate(axes, part, unit)
        for name, group in histograms.filter(
            pl.col("field") == part, pl.col("unit") == unit, pl.col("n").sum().over("dataset") > 0
        ).group_by("dataset", maintain_order=True):
            handles[str(name[0])] = _outline(axes, group, names.index(name[0]))
        if unit == "chars":
            _mark_means(axes, (paper_means or {}).get(part, {}), BINS[part, unit][1])
    if handles:
        figure.legend(
            list(handles.values()),
            list(handles),
            loc="outside lower center",
            ncols=4,
            frameon=False,
            fontsize=9,
        )
    return to_png(figure)


def _outline(axes: Axes, group: pl.DataFrame, number: int) -> Any:
    starts = group["bin_start"].to_list()
    width = starts[1] - starts[0]
    return axes.stairs(
        [100 * share for share in group["share_of_set"].to_list()],
        [*starts, starts[-1] + width],
        color=PALETTE[number % len(PALETTE)],
        linestyle=_DASHES[number % len(_DASHES)],
        linewidth=1.7,
        baseline=None,
    )


def _mark_means(axes: Axes, means: Mapping[str, float], last: int) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (1 + 0.09 * len(means)))
    for number, (label, mean) in enumerate(sorted(means.items(), key=lambda item: item[1])):
        y = high * (1 + 0.09 * number)
        at = min(mean, last)
        axes.plot([at], [y], "v", color=INK, markersize=5)
        side, offset = ("right", -6) if at > 0.6 * last else ("left", 6)
        axes.annotate(
            f"paper, {label}: {mean:,.0f}",
            (at, y),
            xytext=(offset, 0),
            textcoords="offset points",
            ha=side,
            va="center",
            fontsize=7.5,
            color=INK,
        )


def _decorate(axes: Axes, part: str, unit: str) -> None:
    axes.set_title(part, loc="left", fontsize=10, color=INK)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    word = {"chars": "characters", "tokens": "tokens"}[unit]
    axes.set(xlabel=f"{word} (last bin: all longer)", ylabel="% of texts")


def _student(n: int) -> float:
    from scipy.stats import t

    return float(t.ppf(0.975, n - 1))
