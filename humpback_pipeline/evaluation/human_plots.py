"""The paper's three-way bars: win, no difference, loss, for each comparison."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .human_judgements import LOSS, OUTCOMES, WIN
from .human_pairs import NO_DIFFERENCE
from .plots import BLUE, INK, ORANGE, _new_figure, to_png

# Told apart by hatching and by their place as well as by colour.
_STYLES = {
    WIN: (BLUE, "", "white", "win"),
    NO_DIFFERENCE: ("#dddddd", "", INK, "no significant difference"),
    LOSS: (ORANGE, "///", INK, "loss"),
}
_MIN_LABELLED = 0.09


def three_way_bars(
    rows: Sequence[Mapping[str, Any]], title: str = "People's judgements of pairs"
) -> bytes:
    """Return a PNG of one bar to 100 % for each row of `human_shares`.

    In each part its percentage and 95 % interval. Below each bar, lines show the interval of wins
    from the left end and that of losses from the right end.
    """
    figure, axes = _new_figure(title, width=6.4, height=1.5 + 0.95 * max(len(rows), 1))
    for position, row in enumerate(rows):
        _bar(axes, position, row)
    axes.set_yticks(
        range(len(rows)), [f"{row['model']} vs\n{row['baseline']}\nn = {row['n']}" for row in rows]
    )
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set(xlabel="% of pairs", xlim=(0, 100))
    axes.grid(axis="y", visible=False)
    figure.legend(
        *axes.get_legend_handles_labels(),
        loc="outside lower center",
        ncols=3,
        frameon=False,
        fontsize=9,
    )
    return to_png(figure)


def _bar(axes: Any, position: int, row: Mapping[str, Any]) -> None:
    left = 0.0
    for outcome in OUTCOMES:
        colour, hatch, ink, label = _STYLES[outcome]
        share = row[outcome]
        axes.barh(
            position,
            100 * share,
            left=100 * left,
            height=0.55,
            color=colour,
            hatch=hatch,
            edgecolor="white",
            label=label if position == 0 else None,
            zorder=2,
        )
        if share >= _MIN_LABELLED:
            low, high = row[f"{outcome}_interval"]
            axes.text(
                100 * (left + share / 2),
                position,
                f"{share:.0%}\n{100 * low:.0f}–{100 * high:.0f}",
                ha="center",
                va="center",
                fontsize=8,
                color=ink,
                zorder=3,
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 1} if hatch else None,
            )
        left += share
    (win_low, win_high), (loss_low, loss_high) = row["win_interval"], row["loss_interval"]
    for ends, colour, below in (
        ((win_low, win_high), BLUE, 0.34),
        ((1 - loss_high, 1 - loss_low), ORANGE, 0.41),
    ):
        axes.plot(
            [100 * end for end in ends],
            [position + below] * 2,
            color=colour,
            marker="|",
            linewidth=1.6,
            clip_on=False,
            zorder=4,
        )
