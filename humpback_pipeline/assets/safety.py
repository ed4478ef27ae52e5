"""Group `benchmarks`, second half: answers to prompts that ask for harm, and their judgement."""

from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata, plot
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.automation.partitions import BENCHMARKS_GROUP
from humpback_pipeline.evaluation import render_markdown_table
from humpback_pipeline.evaluation.safety_tables import comparisons_table, rates_table
from humpback_pipeline.evaluation.share_plots import Share, share_dots
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.checks import (
    check_responses_not_empty,
    check_safety_judge_follows,
)
from humpback_pipeline.stages.safety import (
    SAFETY,
    SAFETY_RESPONSES,
    SAFETY_RESPONSES_SCHEMA,
    SAFETY_SCHEMA,
    write_safety,
    write_safety_responses,
)

GROUP = BENCHMARKS_GROUP
IDS = ["model", "tag", "prompt_id"]
# What a model says when asked for harm is shown cut short; the whole is in the dataset.
EXCERPT_CHARS = 90


def safety_responses_asset(models: list[str]) -> dg.AssetsDefinition:
    """What the base and the `models` answer."""

    @dg.asset(
        name=SAFETY_RESPONSES,
        deps=models,
        check_specs=check_specs(SAFETY_RESPONSES, *DATASET_CHECKS, "responses_not_empty"),
        description=(
            "What the base model and every M_t answer to prompts that ask for harm, and to "
            "harmless look-alikes, under the system tags S_a, S_w and both (paper section 3.6)."
        ),
        **asset_settings(GROUP, "vllm", "parquet", name=SAFETY_RESPONSES, gpu=True),
    )
    @retried
    def safety_responses(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_safety_responses(opened, log_progress(context))
        frame = opened.datasets.read(SAFETY_RESPONSES)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "prompts": manifest.facts["n_prompts"],
                "cut_at_max_tokens": manifest.facts["n_cut"],
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(opened, manifest, IDS, SAFETY_RESPONSES_SCHEMA),
                    check_responses_not_empty(frame),
                ],
            ),
        )

    return safety_responses


def safety_asset() -> dg.AssetsDefinition:
    """How often they refuse and how often they harm."""

    @dg.asset(
        deps=[SAFETY_RESPONSES],
        check_specs=check_specs(SAFETY, *DATASET_CHECKS, "safety_judge_follows"),
        description=(
            "How often each model refuses, helps harmlessly or harms, by system tag: the judge's "
            "constrained choice, its options shown in three orders, beside a rule that anybody can "
            "read. Rates with 95 % intervals, paired tests between models and tags."
        ),
        **asset_settings(GROUP, "vllm", "parquet", name=SAFETY, gpu=True),
    )
    @retried
    def safety(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_safety(opened, log_progress(context))
        verdicts = opened.datasets.read(SAFETY)
        answers = opened.datasets.read(SAFETY_RESPONSES)
        facts = manifest.facts
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "rates": _table(rates_table(facts["rates"])),
                "plot": _plot(facts["rates"], "refused", "Refusals of harmful prompts"),
                "plot_harmful": _plot(facts["rates"], "harmful", "Harmful answers to them"),
                "judge_and_rule": _agreement(facts["agreement"]),
                "changes": _table(comparisons_table(facts["comparisons"])),
                "samples": _samples(verdicts, answers),
                "judge": facts["judge"],
                "unjudged": facts["n_unjudged"],
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(opened, manifest, IDS, SAFETY_SCHEMA),
                    check_safety_judge_follows(verdicts),
                ],
            ),
        )

    return safety


def _table(frame: pl.DataFrame) -> dg.MetadataValue:
    return dg.MetadataValue.md(render_markdown_table(frame, max_rows=60))


def _plot(rates: list[dict[str, Any]], what: str, title: str) -> dg.MetadataValue:
    shares = [
        Share(row["answers_of"], row["tag"], row[what], row[f"{what}_low"], row[f"{what}_high"])
        for row in rates
        if row["prompts"] == "harmful"
    ]
    return plot(share_dots(shares, title, "% of prompts that ask for harm"), title)


def _agreement(facts: dict[str, Any]) -> str:
    if not facts["n"]:
        return "The judge has judged none of the answers."
    kappa = facts["kappa"]
    said = f"{kappa:.2f}" if kappa is not None else "not defined, as one of them never differs"
    return (
        f"Judge and rule agree on {facts['agreement']:.0%} of {facts['n']} answers whether they "
        f"refuse (95 %: {facts['agreement_low']:.0%} to {facts['agreement_high']:.0%}; Cohen's κ "
        f"{said}). The order of the options decides {facts['order_decides']:.0%} of the judge's "
        "verdicts."
    )


def _samples(verdicts: pl.DataFrame, answers: pl.DataFrame) -> dg.MetadataValue:
    """The last model's answers that the judge finds most harmful, cut short."""
    last = verdicts["model"].unique(maintain_order=True)[-1]
    rows = (
        verdicts.filter(pl.col("model") == last)
        .sort("p_harmful", descending=True)
        .head(5)
        .join(answers.select(*IDS, "instruction", "output"), on=IDS, maintain_order="left")
        .select("category", "tag", "verdict", "p_harmful", "rule_refuses", "instruction", "output")
    )
    return dg.MetadataValue.md(render_markdown_table(rows, max_chars=EXCERPT_CHARS))
