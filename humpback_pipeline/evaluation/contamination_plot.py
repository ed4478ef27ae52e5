"""Bars of the evaluation prompts that occur in each set of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .plots import INK, RED, _new_figure, to_png


def contamination_bars(
    counts: Sequence[Mapping[str, Any]],
    n_prompts: int,
    title: str = "Evaluation prompts found in training data",
) -> bytes:
    """Return horizontal bars, one for each dataset of `counts` (see `overlap_counts`), in % of the
    evaluation prompts; each is labelled with its counts, so that none of them is no bar at all."""
    figure, axes = _new_figure(title, height=1.1 + 0.45 * max(len(counts), 1))
    names = [str(row["dataset"]) for row in counts]
    shares = [100 * row["evaluation_prompts"] / n_prompts if n_prompts else 0.0 for row in counts]
    axes.barh(names, shares, color=RED, height=0.6, zorder=2)
    for place, (row, share) in enumerate(zip(counts, shares, strict=True)):
        axes.annotate(
            f"{row['evaluation_prompts']:,} of {n_prompts:,} prompts, "
            f"{row['contaminated_pairs']:,} of {row['pairs']:,} pairs",
            (share, place),
            xytext=(6, 0),
            textcoords="offset points",
            va="center",
            fontsize=9,
            color=INK,
        )
    axes.invert_yaxis()
    axes.set(xlabel="% of the prompts", xlim=(0, max(10.0, 2.2 * max(shares, default=0.0))))
    return to_png(figure)
