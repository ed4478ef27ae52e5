"""Group `benchmarks`: lm-evaluation-harness and safety, where the recipe asks for them."""

from collections.abc import Iterable
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata, plot
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.safety import safety_asset, safety_responses_asset
from humpback_pipeline.automation.partitions import BENCHMARKS_GROUP
from humpback_pipeline.evaluation import render_markdown_table
from humpback_pipeline.evaluation.benchmark_tables import (
    benchmark_table,
    by_part,
    changes_table,
    sample_size_note,
)
from humpback_pipeline.evaluation.share_plots import Share, share_dots
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.benchmarks import (
    BENCHMARK_RESULTS,
    RESULTS_SCHEMA,
    write_benchmark_results,
)
from humpback_pipeline.stages.checks import check_tasks_measured
from humpback_pipeline.stages.iteration_names import model_name

GROUP = BENCHMARKS_GROUP


def build_benchmarks(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """The group's assets: none, unless the recipe names benchmark tasks or safety prompts."""
    models = [model_name(t) for t in range(recipe.curation.iterations + 1)]
    assets = []
    if recipe.evaluation.benchmarks is not None:
        assets.append(_benchmark_results_asset(models))
    if recipe.evaluation.safety is not None:
        assets += [safety_responses_asset(models), safety_asset()]
    return assets


def _benchmark_results_asset(models: list[str]) -> dg.AssetsDefinition:
    @dg.asset(
        deps=models,
        check_specs=check_specs(BENCHMARK_RESULTS, *DATASET_CHECKS, "tasks_measured"),
        description=(
            "What the base model and every M_t score on tasks of lm-evaluation-harness, each "
            "figure with its 95 % interval, and whether a change from model to model could be "
            "chance (paper section 3.6: SIQA, PIQA, ARC, OBQA, MMLU, CrowS-Pairs)."
        ),
        **asset_settings(GROUP, "lm-eval", "parquet", name=BENCHMARK_RESULTS, gpu=True),
    )
    @retried
    def benchmark_results(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_benchmark_results(opened, log_progress(context))
        results = opened.datasets.read(BENCHMARK_RESULTS)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "results": _table(benchmark_table(results)),
                "sample_sizes": sample_size_note(results),
                "changes": _table(changes_table(manifest.facts["comparisons"])),
                **dict(_plots(results)),
                "tasks": ", ".join(manifest.facts["tasks"]),
                "lm_eval_version": manifest.facts["lm_eval"],
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(opened, manifest, ["model", "task", "metric"], RESULTS_SCHEMA),
                    check_tasks_measured(results),
                ],
            ),
        )

    return benchmark_results


def _table(frame: pl.DataFrame) -> dg.MetadataValue:
    return dg.MetadataValue.md(render_markdown_table(frame, max_rows=200, decimals=3))


def _plots(results: pl.DataFrame) -> Iterable[tuple[str, Any]]:
    """A plot of accuracies and one of stereotypes, where there are such tasks."""
    for name, metric, title, reference in (
        ("plot", "acc", "Accuracy by task", None),
        ("plot_stereotypes", "pct_stereotype", "Preference for the stereotype (50 %: none)", 0.5),
    ):
        rows = by_part(results, metric)
        if rows.is_empty():
            continue
        shares = [
            Share(row["task"], row["model"], row["score"], row["low"], row["high"])
            for row in rows.iter_rows(named=True)
        ]
        yield name, plot(share_dots(shares, title, "% of questions", reference), title)
