"""Group `evaluation`, first half: how good the models and the selection are."""

from collections.abc import Mapping, Sequence

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import (
    manifest_metadata,
    plot,
    sample_table,
)
from humpback_pipeline.assets.report import (
    GROUP,
    data_statistics_asset,
    instruction_diversity_asset,
    report_asset,
)
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.selection_quality import selection_quality_asset
from humpback_pipeline.evaluation import render_markdown_table, win_rate_bars
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.augmentation import AUGMENTED_SET
from humpback_pipeline.stages.checks import (
    check_every_prompt_judged,
    check_position_bias,
    check_responses_cut,
    check_responses_not_empty,
)
from humpback_pipeline.stages.iteration_names import curated_set_name, model_name
from humpback_pipeline.stages.responses import (
    PREFERENCES_SCHEMA,
    RESPONSES_SCHEMA,
    WIN_RATES,
    responses_name,
    write_responses,
    write_win_rates,
)


def build_evaluation(
    iterations: int,
    freshness: dg.FreshnessPolicy | None = None,
    augmented: Sequence[str] = (AUGMENTED_SET,),
) -> list[dg.AssetsDefinition]:
    """All evaluation assets for models M_0 … M_T; `freshness` is of the report.

    augmented: names of the augmented sets that are described.
    """
    models = range(iterations + 1)
    curated = [curated_set_name(t) for t in range(1, iterations + 1)]
    return [
        *(_responses_asset(t) for t in models),
        _win_rates_asset([model_name(t) for t in models], [responses_name(t) for t in models]),
        selection_quality_asset(iterations),
        data_statistics_asset([*augmented, *curated]),
        instruction_diversity_asset([*augmented, curated[-1]]),
        report_asset([*(model_name(t) for t in models), *curated], freshness),
    ]


def _responses_asset(iteration: int) -> dg.AssetsDefinition:
    name = responses_name(iteration)

    @dg.asset(
        name=name,
        deps=[model_name(iteration)],
        check_specs=check_specs(name, *DATASET_CHECKS, "responses_not_empty", "responses_cut"),
        description=(
            f"M_{iteration}'s answers to the evaluation prompts: both system tags, nucleus "
            "sampling with T = 0.7, p = 0.9 unless the recipe differs (paper section 3.1)."
        ),
        **asset_settings(GROUP, "vllm", "parquet", name=name, gpu=True),
    )
    @retried
    def responses(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_responses(opened, iteration, log_progress(context))
        frame = opened.datasets.read(name)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "cut_at_max_tokens": manifest.facts["n_cut"],
                "mean_tokens": float(frame.select(pl.col("n_tokens").mean()).item() or 0.0),
                "samples": sample_table(frame, ["instruction", "output", "reference"]),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(opened, manifest, ["prompt_id"], RESPONSES_SCHEMA),
                    check_responses_not_empty(frame),
                    check_responses_cut(frame),
                ],
            ),
        )

    return responses


def _win_rates_asset(models: list[str], responses: list[str]) -> dg.AssetsDefinition:
    @dg.asset(
        deps=responses,
        check_specs=check_specs(WIN_RATES, *DATASET_CHECKS, "every_prompt_judged", "position_bias"),
        description=(
            "How often each model's answer is preferred to the reference answer by a local judge. "
            "Each pair is shown in both orders and the two verdicts are averaged; the rate and its "
            "standard error are AlpacaEval's."
        ),
        **asset_settings(GROUP, "vllm", "parquet", name=WIN_RATES, gpu=True),
    )
    @retried
    def win_rates(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_win_rates(opened, log_progress(context))
        rows = manifest.facts["win_rates"]
        preferences = opened.datasets.read(WIN_RATES)
        answers = {
            model: opened.datasets.read(name) for model, name in zip(models, responses, strict=True)
        }
        bars = win_rate_bars([(r["model"], r["rate"], r["standard_error"]) for r in rows])
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "win_rates": dg.MetadataValue.md(render_markdown_table(pl.DataFrame(rows))),
                "plot": plot(bars, "win rate of each model over the reference answers"),
                "judge": manifest.facts["judge"],
                "position_bias": manifest.facts["position_bias"],
                **_judged_samples(preferences, answers, models[-1]),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(opened, manifest, ["model", "prompt_id"], PREFERENCES_SCHEMA),
                    check_every_prompt_judged(preferences, answers),
                    check_position_bias(manifest, opened.recipe.checks.max_position_bias),
                ],
            ),
        )

    return win_rates


def _judged_samples(
    preferences: pl.DataFrame, answers: Mapping[str, pl.DataFrame], model: str
) -> dict[str, dg.MetadataValue]:
    """The answers of `model` that the judge liked best and least beside their references."""
    judged = preferences.filter(pl.col("model") == model).join(answers[model], on="prompt_id")
    columns = ["preference", "instruction", "output", "reference"]
    return {
        f"best_of_{model}": sample_table(judged.sort("preference", descending=True), columns),
        f"worst_of_{model}": sample_table(judged.sort("preference"), columns),
    }
