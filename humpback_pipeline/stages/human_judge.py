"""The judge's preferences on the pairs that people judge, from the tables that have them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import polars as pl

from humpback_pipeline.evaluation.human_pairs import REFERENCE, comparison_name
from humpback_pipeline.stages.head_to_head import HEAD_TO_HEAD
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, NotMaterializedError

JUDGE_SCHEMA = {"comparison": pl.String, "prompt_id": pl.String, "preference": pl.Float64}
JUDGE_TABLES = (WIN_RATES, HEAD_TO_HEAD)
# AlpacaEval's scale from the other side: 1.0 … 2.0 becomes 2.0 … 1.0.
BOTH_ENDS = 3.0


def judge_inputs(workspace: Workspace) -> list[Manifest]:
    """The tables of the judge's preferences that are there."""
    found = []
    for name in JUDGE_TABLES:
        with contextlib.suppress(NotMaterializedError):
            found.append(workspace.datasets.manifest(name))
    return found


def judge_preferences(workspace: Workspace, comparisons: Sequence[tuple[str, str]]) -> pl.DataFrame:
    """The judge's preference for each comparison and prompt it has judged.

    comparisons: (model, baseline). Columns: `JUDGE_SCHEMA`; 2.0 = the model's answer is better. A
    table with more than one judgement of a prompt gives their mean.
    """
    columns = ("model", "opponent", "prompt_id", "preference")
    tables = [pl.DataFrame(schema=dict.fromkeys(columns[:3], pl.String) | {columns[3]: pl.Float64})]
    for manifest in judge_inputs(workspace):
        table = workspace.datasets.read(manifest.name)
        if "opponent" not in table.columns:  # the win rates are over the references
            table = table.with_columns(opponent=pl.lit(REFERENCE))
        tables.append(table.select(columns))
    judged = pl.concat(tables)
    turned = judged.select(
        pl.col("opponent").alias("model"),
        pl.col("model").alias("opponent"),
        "prompt_id",
        preference=BOTH_ENDS - pl.col("preference"),
    )
    wanted = pl.DataFrame(
        [(*sides, comparison_name(*sides)) for sides in comparisons],
        schema=dict.fromkeys(("model", "opponent", "comparison"), pl.String),
        orient="row",
    )
    return (
        pl.concat([judged, turned])
        .drop_nulls("preference")
        .join(wanted, on=["model", "opponent"])
        .group_by("comparison", "prompt_id", maintain_order=True)
        .agg(pl.col("preference").mean())
        .select(pl.col(name).cast(dtype) for name, dtype in JUDGE_SCHEMA.items())
    )
