"""Groups `iteration_0`, `iteration_1`, …: rate, select, train, and again with the new model.

The iterations are unrolled by `build_iteration`: "model of t-1 → curated set of t → model of t" in
one pair of assets would be a cycle.
"""

import dagster as dg

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.curated_set import curated_asset
from humpback_pipeline.assets.curation_scores import scores_asset
from humpback_pipeline.assets.metadata import manifest_metadata
from humpback_pipeline.assets.model_checks import MODEL_CHECKS, model_checks
from humpback_pipeline.assets.rater_calibration import rater_calibration_asset
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.assets.training_events import log_training
from humpback_pipeline.assets.training_page import carried_metadata, training_metadata
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.augmentation import AUGMENTED_SET, BACKWARD_MODEL
from humpback_pipeline.stages.iteration import train_forward_model
from humpback_pipeline.stages.iteration_names import curated_set_name, model_name


def build_iteration(
    iteration: int,
    freshness: dg.FreshnessPolicy | None = None,
    augmented: str = AUGMENTED_SET,
    backward_model: str = BACKWARD_MODEL,
) -> list[dg.AssetsDefinition]:
    """The assets of one iteration: for 0 the seed model alone, else scores, curated set, model.

    `freshness` is of the model; the last iteration's is the one that people use. `augmented` is the
    dataset that is rated, `backward_model` the M_yx that reads along.
    """
    model = _model_asset(iteration, freshness)
    if iteration == 0:
        return [model]
    return [
        rater_calibration_asset(iteration, backward_model),
        scores_asset(iteration, augmented, backward_model),
        curated_asset(iteration),
        model,
    ]


def _model_asset(
    iteration: int, freshness: dg.FreshnessPolicy | None = None
) -> dg.AssetsDefinition:
    name = model_name(iteration)
    deps: list[dg.AssetsDefinition | str] = [seed_pairs]
    if iteration:
        deps.append(curated_set_name(iteration))
    what = (
        "M_0: the base model finetuned on the seed pairs only. It rates the first iteration."
        if iteration == 0
        else f"M_{iteration}: the base model finetuned on the seed pairs and A^({iteration}), each "
        "with its system tag (paper sections 2.3 and 3.1)."
    )

    @dg.asset(
        name=name,
        deps=deps,
        check_specs=check_specs(name, *MODEL_CHECKS),
        freshness_policy=freshness,
        description=what,
        **asset_settings(f"iteration_{iteration}", "huggingface", "pytorch", name=name, gpu=True),
    )
    @retried
    def model(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = train_forward_model(
            opened, iteration, log_progress(context), log_training(context)
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **carried_metadata(manifest, context),
                **training_metadata(opened, manifest, f"M_{iteration}"),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(context, model_checks(opened, manifest)),
        )

    return model
