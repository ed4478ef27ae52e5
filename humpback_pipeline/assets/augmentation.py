"""Group `augmentation`: the backward model writes an instruction for every selected segment.

Where the recipe retrains the backward model, each iteration from the second on has one of its own,
and an augmented set written by it; both stand in that iteration's group.
"""

import contextlib
from collections.abc import Iterator, Mapping

import dagster as dg

from humpback_pipeline.assets.augmentation_pages import (
    all_shards_metadata,
    likelihood_metadata,
    shard_metadata,
)
from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import (
    asset_settings,
    log_progress,
    shards_data_version,
    shards_of,
)
from humpback_pipeline.assets.corpus import clueweb_segments, corpus_selection
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, shard_checks
from humpback_pipeline.assets.metadata import (
    add_partition_metadata,
    manifest_metadata,
)
from humpback_pipeline.assets.model_checks import MODEL_CHECKS, model_checks
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.assets.training_events import log_training
from humpback_pipeline.assets.training_page import carried_metadata, training_metadata
from humpback_pipeline.automation.partitions import WARC_SHARDS, warc_shards
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.augmentation import (
    AUGMENTED_SCHEMA,
    AUGMENTED_SET,
    BACKWARD_MODEL,
    augmented_set_name,
    backward_model_name,
    dropped_instructions_name,
    write_augmented_set,
)
from humpback_pipeline.stages.backward_model import instruction_likelihoods, retrain_backward_model
from humpback_pipeline.stages.carrying import CARRIED_FROM
from humpback_pipeline.stages.checks import (
    CheckOutcome,
    check_augmented_not_empty,
    check_dropped_share,
    check_instruction_likelihood_rose,
    check_instructions_vary,
    over_shards,
)
from humpback_pipeline.stages.iteration_names import curated_set_name
from humpback_pipeline.storage import Manifest, NotMaterializedError

GROUP = "augmentation"


def build_augmentation(recipe: Recipe) -> list[dg.AssetsDefinition]:
    """Backward model and augmented set, and those of the later iterations if it is retrained."""
    assets = [_model_asset(BACKWARD_MODEL, 1), _augmented_asset(AUGMENTED_SET, BACKWARD_MODEL, 1)]
    for iteration in range(2, recipe.curation.iterations + 1):
        model, pairs = backward_model_name(recipe, iteration), augmented_set_name(recipe, iteration)
        if model != BACKWARD_MODEL:
            assets += [_model_asset(model, iteration), _augmented_asset(pairs, model, iteration)]
    return assets


def _model_asset(name: str, iteration: int) -> dg.AssetsDefinition:
    deps: list[dg.AssetsDefinition | str] = [seed_pairs]
    checks = [*MODEL_CHECKS]
    group = GROUP
    title = "backward model M_yx"
    description = (
        "M_yx = p(x | y): the base model finetuned on the seed pairs turned round, output → "
        "instruction (paper section 2.2). Given a text, it writes what somebody may have asked."
    )
    if iteration > 1:
        deps.append(curated_set_name(iteration - 1))
        checks.append("instruction_likelihood_rose")
        group = f"iteration_{iteration}"
        title += f" of iteration {iteration}"
        description = (
            f"M_yx once more for iteration {iteration}: the base model finetuned, output → "
            f"instruction, on the seed pairs and A^({iteration - 1}). Its gain is what held-out "
            "human instructions are likelier under it than under the backward model before."
        )

    @dg.asset(
        name=name,
        deps=deps,
        check_specs=check_specs(name, *checks),
        description=description,
        **asset_settings(group, "huggingface", "pytorch", name=name, gpu=True),
    )
    @retried
    def backward_model(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = retrain_backward_model(
            opened, iteration, log_progress(context), log_training(context)
        )
        outcomes = model_checks(opened, manifest)
        if iteration > 1:
            likelihoods = instruction_likelihoods(opened, name)
            outcomes.append(
                check_instruction_likelihood_rose(likelihoods, manifest.facts.get(CARRIED_FROM))
            )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **carried_metadata(manifest, context),
                **likelihood_metadata(opened, name),
                **training_metadata(opened, manifest, title),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(context, outcomes),
        )

    return backward_model


def _augmented_asset(name: str, model: str, iteration: int) -> dg.AssetsDefinition:
    description = (
        "The augmented set A: each selected segment y with the candidate instruction x̂ that the "
        "backward model wrote for it (self-augmentation, paper section 2.2). Candidates only: the "
        "next iterations rate them and keep the best."
    )
    if iteration > 1:
        description = (
            f"The augmented set of iteration {iteration}: the same segments, each with the "
            f"candidate instruction that {model} wrote for it, which learnt from the pairs that "
            "were curated before. This iteration rates these instead of the first ones."
        )

    @dg.asset(
        name=name,
        deps=[clueweb_segments, corpus_selection, model],
        partitions_def=warc_shards,
        check_specs=check_specs(
            name, *DATASET_CHECKS, "not_empty", "dropped_share", "instructions_vary"
        ),
        description=description,
        **asset_settings(
            GROUP if iteration == 1 else f"iteration_{iteration}",
            "vllm",
            "parquet",
            name=name,
            gpu=True,
        ),
    )
    @retried
    def augmented_set(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifests = {}
        progress = log_progress(context)
        shards = shards_of(context)
        for shard, manifest in write_augmented_set(opened, shards, progress, iteration=iteration):
            manifests[shard] = manifest
            dropped = dropped_instructions_name(opened.recipe, iteration)
            metadata = shard_metadata(opened.datasets.read(name, shard), manifest.facts)
            metadata["all_dropped_instructions"] = dg.MetadataValue.path(
                str(opened.datasets.versions(dropped, shard).current())
            )
            made = manifest_metadata(opened, manifest, context)
            add_partition_metadata(context, shard, {**metadata, **made})
        return dg.MaterializeResult(
            data_version=shards_data_version(context, opened, name),
            metadata=all_shards_metadata(_all_manifests(context, opened, name)),
            check_results=check_results(context, _augmented_checks(opened, manifests)),
        )

    return augmented_set


def _augmented_checks(
    workspace: Workspace, manifests: Mapping[str, Manifest]
) -> list[CheckOutcome]:
    maximum = workspace.recipe.checks.max_dropped_fraction
    dropped = {
        shard: check_dropped_share(m.rows or 0, m.facts["dropped"], maximum, "instructions")
        for shard, m in manifests.items()
    }
    vary = {shard: check_instructions_vary(manifest) for shard, manifest in manifests.items()}
    return [
        *shard_checks(workspace, manifests, ["segment_id"], AUGMENTED_SCHEMA),
        check_augmented_not_empty(manifests),
        over_shards(dropped),
        over_shards(vary),
    ]


def _all_manifests(
    context: dg.AssetExecutionContext, workspace: Workspace, name: str
) -> Iterator[Manifest]:
    for shard in context.instance.get_dynamic_partitions(WARC_SHARDS):
        with contextlib.suppress(NotMaterializedError):
            yield workspace.datasets.manifest(name, shard)
