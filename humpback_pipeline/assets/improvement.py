"""Asset `improvement_over_seed`: what the final model wins that M_0 lost, by category."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings
from humpback_pipeline.assets.data_analysis import picture
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata, sample_table
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.evaluation import render_markdown_table
from humpback_pipeline.evaluation.improvement import FEW_PROMPTS, REGRESSED, TURNED
from humpback_pipeline.evaluation.intervals import wilson_interval
from humpback_pipeline.evaluation.paper import PAPER_IMPROVEMENT
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.improvement import (
    BY_WORDS,
    IMPROVEMENT,
    IMPROVEMENT_SCHEMA,
    write_improvement,
)
from humpback_pipeline.stages.responses import WIN_RATES

GROUP = "evaluation"
Row = Mapping[str, Any]


def improvement_asset(responses: Mapping[str, str]) -> dg.AssetsDefinition:
    """`responses`: model → the dataset of its answers, of M_0 and the final model at least."""

    @dg.asset(
        deps=[WIN_RATES],
        check_specs=check_specs(IMPROVEMENT, *DATASET_CHECKS),
        description=(
            "Prompts that M_0 loses to the reference and the final model wins, by category, and "
            "the wins that were lost (the paper: 41 of 251 improved)."
        ),
        **asset_settings(GROUP, "polars", "parquet", name=IMPROVEMENT),
    )
    @retried
    def improvement_over_seed(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_improvement(opened)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **figures(manifest.facts),
                **_samples(opened, manifest.facts, responses),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context, dataset_checks(opened, manifest, ["prompt_id"], IMPROVEMENT_SCHEMA)
            ),
        )

    return improvement_over_seed


def figures(facts: Row) -> dict[str, dg.MetadataValue]:
    """Tables and plot of a version's facts, the paper's figure beside ours."""
    shown = {
        "plot": picture(facts["plot"], "prompts lost before and won now, by category"),
        "by_category": dg.MetadataValue.md(improvement_table(facts["by_category"])),
        "how_to_read": dg.MetadataValue.md(how_to_read(facts)),
    }
    if facts["by_prompt_set"]:
        shown["by_prompt_set"] = dg.MetadataValue.md(improvement_table(facts["by_prompt_set"]))
    return shown


def improvement_table(rows: Iterable[Row]) -> str:
    """Our rows, and under them the paper's."""
    ours = [
        {
            "prompts about": row["group"],
            "prompts": row["n"],
            "M_0 lost": row["n_lost"],
            "now won": row[TURNED],
            "M_0 won": row["n_won"],
            "now lost": row[REGRESSED],
            "of the lost, won %": _share(row, "turned_share"),
            "of the won, lost %": _share(row, "regressed_share"),
            "improved, of all %": _share(row, "improved_share"),
            "few": "yes" if row["few_prompts"] else "",
        }
        for row in rows
    ]
    paper = PAPER_IMPROVEMENT
    low, high = wilson_interval(paper.n_turned, paper.n_prompts)
    beside = {
        "prompts about": f"paper, all ({', '.join(paper.categories)})",
        "prompts": paper.n_prompts,
        "now won": paper.n_turned,
        "improved, of all %": _percent(paper.n_turned / paper.n_prompts, low, high),
    }
    frame = pl.DataFrame([*ours, beside], infer_schema_length=None)
    return render_markdown_table(frame, max_rows=100)


def how_to_read(facts: Row) -> str:
    """What the figures mean and what to be careful with."""
    everything = facts["by_category"][-1]
    won, lost = everything[TURNED], everything[REGRESSED]
    sentences = [
        f"{facts['after']} beside {facts['before']}, each judged against the reference: {won} "
        f"losses became wins and {lost} wins became losses, {won - lost:+d} in all (exact sign "
        f"test p = {facts['sign_test_p']:.3f}). A judge that tosses coins turns as many one way "
        "as the other: what counts is the difference. Brackets are 95 % intervals (Wilson).",
    ]
    if everything["few_prompts"]:
        sentences.append(
            f"Small sample: {facts['before']} lost {everything['n_lost']} prompts, fewer than "
            f"{FEW_PROMPTS}; a category's rate is hardly known."
        )
    elif any(row["few_prompts"] for row in facts["by_category"]):
        sentences.append(
            f"Where `few` says yes, {facts['before']} lost fewer than {FEW_PROMPTS} prompts."
        )
    if facts["undecided"]:
        sentences.append(facts["undecided"])
    if n := facts["categories_by"][BY_WORDS]:
        sentences.append(
            f"The categories of {n} prompts are told by their words, which agrees with a reader "
            "on about two of three such prompts (docs/evaluation-tables.md); give the prompt file "
            "a field `category` to be exact."
        )
    return " ".join(sentences)


def _samples(
    opened: Workspace, facts: Row, responses: Mapping[str, str]
) -> dict[str, dg.MetadataValue]:
    """Both models' answers to prompts that changed, the greatest changes first."""
    changes = opened.datasets.read(IMPROVEMENT)
    before, after = (
        opened.datasets.read(responses[facts[when]]).select(
            "prompt_id", "instruction", pl.col("output").alias(facts[when])
        )
        for when in ("before", "after")
    )
    rows = (
        changes.join(before, on="prompt_id")
        .join(after.drop("instruction"), on="prompt_id")
        .with_columns(by=(pl.col("preference_after") - pl.col("preference_before")).abs())
        .sort("by", descending=True, maintain_order=True)
    )
    columns = ["category", "instruction", facts["before"], facts["after"]]
    return {
        kind: sample_table(rows.filter(pl.col("change") == kind), columns)
        for kind in (TURNED, REGRESSED)
        if facts["before"] != facts["after"]
    }


def _share(row: Row, name: str) -> str:
    if row[name] is None:
        return "–"
    return _percent(row[name], row[f"{name}_low"], row[f"{name}_high"])


def _percent(share: float, low: float, high: float) -> str:
    return f"{share:.0%} [{100 * low:.0f}–{100 * high:.0f}]"
