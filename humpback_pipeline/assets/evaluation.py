"""Group `evaluation`, first half: how good the models and the selection are."""

from collections.abc import Callable, Sequence

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.contamination import contamination_asset
from humpback_pipeline.assets.data_analysis import (
    data_statistics_asset,
    instruction_diversity_asset,
)
from humpback_pipeline.assets.data_bias import data_bias_asset
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.exports import exports_asset, model_cards_asset
from humpback_pipeline.assets.head_to_head import head_to_head_asset
from humpback_pipeline.assets.human_evaluation import human_evaluation_asset, human_pairs_asset
from humpback_pipeline.assets.improvement import improvement_asset
from humpback_pipeline.assets.length_histograms import length_histograms_asset
from humpback_pipeline.assets.metadata import manifest_metadata, sample_table
from humpback_pipeline.assets.report import GROUP, report_asset
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.selection_quality import selection_quality_asset
from humpback_pipeline.assets.win_rates import win_rates_asset
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.augmentation import AUGMENTED_SET
from humpback_pipeline.stages.checks import (
    CheckOutcome,
    check_responses_cut,
    check_responses_not_empty,
)
from humpback_pipeline.stages.contamination import CONTAMINATION
from humpback_pipeline.stages.data_bias import DATA_BIAS
from humpback_pipeline.stages.head_to_head import HEAD_TO_HEAD, compared_answers
from humpback_pipeline.stages.human_evaluation import HUMAN_EVALUATION
from humpback_pipeline.stages.improvement import IMPROVEMENT
from humpback_pipeline.stages.iteration_names import curated_set_name, model_name
from humpback_pipeline.stages.length_histograms import LENGTH_HISTOGRAMS
from humpback_pipeline.stages.responses import (
    BASE_RESPONSES,
    RESPONSES_SCHEMA,
    WIN_RATES,
    answers_by_model,
    responses_name,
    write_base_responses,
    write_responses,
)
from humpback_pipeline.storage import Manifest


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
        _base_responses_asset(),
        win_rates_asset(answers_by_model(iterations)),
        selection_quality_asset(iterations),
        data_statistics_asset([*augmented, *curated]),
        instruction_diversity_asset([*augmented, curated[-1]]),
        length_histograms_asset(
            [*augmented, *curated], list(answers_by_model(iterations).values())
        ),
        head_to_head_asset(compared_answers(iterations)),
        improvement_asset(compared_answers(iterations)),
        data_bias_asset([*augmented, *curated]),
        contamination_asset(curated),
        exports_asset(curated),
        model_cards_asset([model_name(t) for t in models], [WIN_RATES]),
        human_pairs_asset(list(answers_by_model(iterations).values())),
        human_evaluation_asset([WIN_RATES, HEAD_TO_HEAD]),
        report_asset(
            [
                *(model_name(t) for t in models),
                *curated,
                *(LENGTH_HISTOGRAMS, HEAD_TO_HEAD, IMPROVEMENT),
                *(CONTAMINATION, DATA_BIAS, HUMAN_EVALUATION),
            ],
            freshness,
        ),
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
        return _shown(context, opened, manifest, [check_responses_not_empty])

    return responses


def _base_responses_asset() -> dg.AssetsDefinition:
    @dg.asset(
        name=BASE_RESPONSES,
        check_specs=check_specs(BASE_RESPONSES, *DATASET_CHECKS, "responses_cut"),
        description=(
            "The base model's answers to the evaluation prompts, asked and sampled as M_0 … are: "
            "what the training starts from."
        ),
        **asset_settings(GROUP, "vllm", "parquet", name=BASE_RESPONSES, gpu=True),
    )
    @retried
    def base_responses(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_base_responses(opened, log_progress(context))
        # A base model may well say nothing, which must not stop what comes after.
        return _shown(context, opened, manifest, [])

    return base_responses


def _shown(
    context: dg.AssetExecutionContext,
    workspace: Workspace,
    manifest: Manifest,
    checks: Sequence[Callable[[pl.DataFrame], CheckOutcome]],
) -> dg.MaterializeResult:
    """A page of responses: figures, samples, and `checks` beside those of any."""
    frame = workspace.datasets.read(manifest.name)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(manifest.content_hash),
        metadata={
            "cut_at_max_tokens": manifest.facts["n_cut"],
            "mean_tokens": float(frame.select(pl.col("n_tokens").mean()).item() or 0.0),
            "samples": sample_table(frame, ["instruction", "output", "reference"]),
            **manifest_metadata(workspace, manifest, context),
        },
        check_results=check_results(
            context,
            [
                *dataset_checks(workspace, manifest, ["prompt_id"], RESPONSES_SCHEMA),
                *(check(frame) for check in checks),
                check_responses_cut(frame),
            ],
        ),
    )
