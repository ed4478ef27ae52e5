"""Shares with their intervals, as dots: benchmarks by task, safety by tag, words by data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .plots import GRID, INK, PALETTE, to_png

_MARKERS = "osD^vPX"
_ROW_HEIGHT, _WIDTH = 0.2, 6.4
_SPREAD = 0.7


@dataclass(frozen=True)
class Share:
    """One dot: `share` of 1, its 95 % interval, its `series` (colour and mark) and row `label`."""

    label: str
    series: str
    share: float
    low: float
    high: float


def share_dots(
    shares: Sequence[Share], title: str, xlabel: str = "%", reference: float | None = None
) -> bytes:
    """Return a PNG: a row for each label, in it a dot with whiskers for each series, in percent.

    reference: share drawn as a dotted line, such as chance.
    """
    from matplotlib.figure import Figure

    labels = list(dict.fromkeys(share.label for share in shares))
    series = list(dict.fromkeys(share.series for share in shares))
    height = 1.3 + max(_ROW_HEIGHT * max(len(series), 2), 0.4) * max(len(labels), 1)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained")
    axes = figure.add_subplot()
    for number, name in enumerate(series):
        own = [share for share in shares if share.series == name]
        offset = _SPREAD * ((number + 0.5) / len(series) - 0.5)
        axes.errorbar(
            [100 * share.share for share in own],
            [labels.index(share.label) + offset for share in own],
            xerr=[
                [max(0.0, 100 * (share.share - share.low)) for share in own],
                [max(0.0, 100 * (share.high - share.share)) for share in own],
            ],
            fmt=_MARKERS[number % len(_MARKERS)],
            color=PALETTE[number % len(PALETTE)],
            markersize=5,
            linewidth=1.2,
            capsize=2,
            label=name,
        )
    if reference is not None:
        axes.axvline(100 * reference, color=INK, linestyle=":", linewidth=1)
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(xlabel=xlabel)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=GRID, linewidth=0.7, axis="x")
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, labelsize=9)
    if series:
        figure.legend(loc="outside lower center", ncols=min(len(series), 5), frameon=False)
    return to_png(figure)
