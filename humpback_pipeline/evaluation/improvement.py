"""Where a model improves on the seed model: prompts lost before and won now, by category.

Source: the paper's "improvement over seed model", 41 of 251 prompts. A judge that tosses coins
would turn losses into wins as well, and as many wins into losses: so those are counted beside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from .intervals import wilson_interval
from .plots import BLUE, GREEN, INK, ORANGE, SKY, to_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TURNED, REGRESSED, STILL_WON, STILL_LOST, DRAWN = (
    "turned_into_win",
    "turned_into_loss",
    "still_won",
    "still_lost",
    "drawn",
)
ALL = "all"
# Below so many prompts that M_0 lost, the share of them that is won now is hardly known.
FEW_PROMPTS = 30
UNDECIDED = 0.05
_DRAW = 1.5
_BARS = (  # from left to right, each with a pattern of its own, as colours alone say nothing
    (TURNED, "lost before, won now", GREEN, "///"),
    (STILL_WON, "won both times", SKY, ""),
    (DRAWN, "drawn at least once", "#e6e6e6", ".."),
    (STILL_LOST, "lost both times", ORANGE, "xx"),
    (REGRESSED, "won before, lost now", BLUE, "\\\\\\"),
)


def changes_of(preferences: pl.DataFrame, before: str, after: str) -> pl.DataFrame:
    """One row a prompt that both models have a preference for, in the order of `before`.

    preferences: columns model, prompt_id, preference, on AlpacaEval's scale: above 1.5 the model
    wins against the reference, below it loses. Rows without a preference are left out.

    Columns: prompt_id, preference_before, preference_after, change: turned_into_win,
    turned_into_loss, still_won, still_lost, or drawn if either is exactly 1.5.
    """
    of = {
        model: preferences.filter(
            pl.col("model") == model, pl.col("preference").is_between(1.0, 2.0)
        ).select("prompt_id", pl.col("preference").alias(f"preference_{when}"))
        for model, when in ((before, "before"), (after, "after"))
    }
    then, now = pl.col("preference_before"), pl.col("preference_after")
    return (
        of[before]
        .join(of[after], on="prompt_id", maintain_order="left")
        .with_columns(
            change=pl.when((then == _DRAW) | (now == _DRAW))
            .then(pl.lit(DRAWN))
            .when((then < _DRAW) & (now > _DRAW))
            .then(pl.lit(TURNED))
            .when((then > _DRAW) & (now < _DRAW))
            .then(pl.lit(REGRESSED))
            .when(then > _DRAW)
            .then(pl.lit(STILL_WON))
            .otherwise(pl.lit(STILL_LOST))
        )
    )


def improvement_rows(changes: pl.DataFrame, by: str) -> list[dict[str, Any]]:
    """Counts and rates for each value of the column `by`, most prompts first, then for `all`.

    changes: as `changes_of`, with the column `by`. Rows: group, n, n_lost and n_won (before), the
    five kinds of change, n_turned and n_regressed; turned_share (of the prompts lost before),
    regressed_share (of those won before), improved_share (turned, of all prompts, as the paper
    counts), each with `_low` and `_high`, Wilson's 95 % interval; few_prompts.
    """
    names = changes.group_by(by).len().sort("len", by, descending=[True, False])[by].to_list()
    groups = [(str(name), changes.filter(pl.col(by) == name)) for name in names]
    return [_row(name, group) for name, group in [*groups, (ALL, changes)]]


def undecided_note(preferences: Sequence[float | None]) -> str | None:
    """What to say of a judge that hardly prefers either answer; None if it does.

    preferences: 1.0 … 2.0. Wins and losses count which side of 1.5 a preference is on, however
    near; a judge whose mean distance from it is below 0.05 mostly sees no difference.
    """
    known = [abs(value - _DRAW) for value in preferences if value is not None]
    if not known or (margin := sum(known) / len(known)) >= UNDECIDED:
        return None
    return (
        f"The judge is undecided: its preferences are {margin:.3f} from an even 1.5 on average, so "
        "most wins and losses are hardly more than draws. A larger judge says more."
    )


def sign_test_p(n_turned: int, n_regressed: int) -> float:
    """P that the two differ so much if a change either way is equally likely (exact, two-sided).

    McNemar's exact test: prompts that stay as they are say nothing about which model is better.
    """
    from scipy.stats import binomtest

    n = n_turned + n_regressed
    return float(binomtest(n_turned, n).pvalue) if n else 1.0


def improvement_plot(rows: Sequence[dict[str, Any]], title: str) -> bytes:
    """Return a PNG with one stacked bar a row of `improvement_rows`, its counts written in it."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 1.7 + 0.45 * max(len(rows), 1)), layout="constrained")
    axes = figure.add_subplot()
    axes.set_title(title, loc="left", fontsize=11, color=INK)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(colors=INK, labelsize=9)
    for place, row in enumerate(rows):
        _stacked_bar(axes, place, row)
    axes.set_yticks(range(len(rows)), [f"{r['group'].replace('_', ' ')} ({r['n']})" for r in rows])
    axes.set(xlim=(0, 100), xlabel="% of the prompts; numbers count prompts")
    axes.invert_yaxis()
    if rows:
        handles, labels = axes.get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=9
        )
    return to_png(figure)


def _stacked_bar(axes: Axes, place: int, row: dict[str, Any]) -> None:
    left = 0.0
    for kind, label, colour, pattern in _BARS:
        width = 100 * row[kind] / row["n"] if row["n"] else 0.0
        axes.barh(
            place,
            width,
            left=left,
            height=0.68,
            color=colour,
            hatch=pattern,
            edgecolor="white",
            linewidth=0.8,
            label=label if place == 0 else None,
        )
        if row[kind] and width > 3:
            axes.text(
                left + width / 2,
                place,
                str(row[kind]),
                ha="center",
                va="center",
                fontsize=9,
                color="black",
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2, "alpha": 0.85},
            )
        left += width


def _row(name: str, changes: pl.DataFrame) -> dict[str, Any]:
    counts = {kind: changes.filter(pl.col("change") == kind).height for kind, *_ in _BARS}
    n = changes.height
    n_lost = changes.filter(pl.col("preference_before") < _DRAW).height
    n_won = changes.filter(pl.col("preference_before") > _DRAW).height
    return {
        "group": name,
        "n": n,
        "n_lost": n_lost,
        "n_won": n_won,
        **counts,
        **_share("turned_share", counts[TURNED], n_lost),
        **_share("regressed_share", counts[REGRESSED], n_won),
        **_share("improved_share", counts[TURNED], n),
        "few_prompts": n_lost < FEW_PROMPTS,
    }


def _share(name: str, n_hits: int, n: int) -> dict[str, float | None]:
    low, high = wilson_interval(n_hits, n)
    # Of nothing, no share is known.
    return {name: n_hits / n if n else None, f"{name}_low": low, f"{name}_high": high}
