"""Win rates as bars with their 95 % intervals, the paper's beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .paper import PAPER_WIN_RATES, PaperWinRate
from .plots import GRID, INK, RED, SKY, _new_figure, to_png


@dataclass(frozen=True)
class WinRateBar:
    """One model's win rate over the reference answers and its 95 % interval, in percent.

    length_controlled: the same with the judge's taste for length taken out; None: not known.
    """

    model: str
    rate: float
    low: float
    high: float
    length_controlled: float | None = None


def win_rate_plot(
    bars: Sequence[WinRateBar],
    paper: Sequence[PaperWinRate] = PAPER_WIN_RATES,
    title: str = "Win rate over the reference answers",
) -> bytes:
    """Return horizontal bars; the paper's are pale and hatched, as its judge and models differ."""
    figure, axes = _new_figure(title, height=1.3 + 0.36 * (len(bars) + len(paper)))
    ours = [bar.model for bar in bars]
    axes.barh(ours, [bar.rate for bar in bars], color=SKY, height=0.6, zorder=2, label="ours")
    for bar in bars:
        axes.plot([bar.low, bar.high], [bar.model] * 2, color=INK, linewidth=1.6, zorder=3)
        axes.annotate(
            f"{bar.rate:.1f}",
            (bar.high, bar.model),
            xytext=(5, 0),
            textcoords="offset points",
            va="center",
            color=INK,
            fontsize=9,
        )
    controlled = [bar for bar in bars if bar.length_controlled is not None]
    if controlled:
        axes.plot(
            [bar.length_controlled for bar in controlled],
            [bar.model for bar in controlled],
            "D",
            color=RED,
            markersize=5,
            linestyle="none",
            label="length-controlled",
            zorder=4,
        )
    if paper:
        names, rates = [f"paper: {row.model}" for row in paper], [row.rate for row in paper]
        look = {"color": GRID, "edgecolor": "#888888", "hatch": "///", "height": 0.6}
        axes.barh(names, rates, zorder=2, label="paper (GPT-4 judge)", **look)
        for name, rate in zip(names, rates, strict=True):
            axes.annotate(f"{rate:.1f}", (rate + 1.5, name), va="center", color=INK, fontsize=9)
    axes.axvline(50, color=INK, linestyle=":", linewidth=1)
    axes.invert_yaxis()
    axes.set(xlabel="win rate (%), lines: 95 % interval", xlim=(0, 108))
    if bars or paper:  # below, where no bar can be under it
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=9)
    return to_png(figure)
