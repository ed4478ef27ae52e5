"""Tables of benchmark results: models side by side, parts of groups, and changes between models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

# A share of so few questions has an interval of ± 10 points or more.
FEW_QUESTIONS = 100
MAX_PLOTTED = 24


def benchmark_table(results: pl.DataFrame) -> pl.DataFrame:
    """One row a task and metric, a column a model: `0.412 [0.38, 0.44]`; n and which is better.

    results: columns model, task, metric, score, low, high, n, higher_is_better.
    """
    models = results["model"].unique(maintain_order=True).to_list()
    shown = results.with_columns(
        pl.struct("score", "low", "high")
        .map_elements(_with_interval, return_dtype=pl.String)
        .alias("shown"),
        better=pl.when("higher_is_better").then(pl.lit("higher")).otherwise(pl.lit("lower")),
    )
    keys = ["task", "metric", "n", "better"]
    return shown.select(*keys, "model", "shown").pivot(
        on="model", on_columns=models, index=keys, values="shown", maintain_order=True
    )


def by_part(results: pl.DataFrame, metric: str) -> pl.DataFrame:
    """Rows of one metric to plot: groups alone where all parts would be too many for a plot."""
    rows = results.filter(pl.col("metric") == metric, pl.col("low").is_not_null())
    if rows["task"].n_unique() <= MAX_PLOTTED:
        return rows
    groups = rows.filter("is_group")["task"].unique().to_list()
    # What belongs to a group is named after it, as mmlu_anatomy.
    single = [
        task
        for task in rows["task"].unique(maintain_order=True)
        if task not in groups and not any(task.startswith(f"{group}_") for group in groups)
    ]
    return rows.filter(pl.col("task").is_in([*groups, *single]))


def changes_table(comparisons: Sequence[Mapping[str, Any]]) -> pl.DataFrame:
    """What changed from model to model on the same questions, surest first."""
    rows = [
        {
            "task": row["task"],
            "metric": row["metric"],
            "models": f"{row['before']} → {row['after']}",
            "n": row["n"],
            "gained": row["gained"],
            "lost": row["lost"],
            "change": f"{row['difference']:+.3f} [{row['low']:+.2f}, {row['high']:+.2f}]",
            "p (McNemar)": row["p_value"],
            "p (Holm)": row["p_adjusted"],
        }
        for row in sorted(comparisons, key=lambda row: row["p_value"])
    ]
    return pl.DataFrame(rows)


def sample_size_note(results: pl.DataFrame) -> str:
    """A sentence on how far the figures can be trusted."""
    small = results.filter(pl.col("n") < FEW_QUESTIONS)["task"].unique(maintain_order=True)
    if small.is_empty():
        return f"Every task has at least {FEW_QUESTIONS} questions."
    named = ", ".join(small.head(8)) + (" …" if small.len() > 8 else "")
    return (
        f"Fewer than {FEW_QUESTIONS} questions in {named}: such a figure is known to about ± 10 "
        "points or worse; read the intervals, and models apart only where p is small."
    )


def _with_interval(row: Mapping[str, float | None]) -> str:
    score, low, high = row["score"], row["low"], row["high"]
    if low is None or high is None:
        return f"{score:.3f}"
    return f"{score:.3f} [{low:.2f}, {high:.2f}]"
