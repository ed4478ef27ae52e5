"""Group `augmentation`: the backward model writes an instruction for every selected segment."""

import dagster as dg

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
    counts_table,
    length_plot,
    manifest_metadata,
    sample_table,
    training_metadata,
)
from humpback_pipeline.assets.model_checks import MODEL_CHECKS, model_checks
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.automation.partitions import warc_shards
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.augmentation import (
    AUGMENTED_SCHEMA,
    AUGMENTED_SET,
    BACKWARD_MODEL,
    train_backward_model,
    write_augmented_set,
)
from humpback_pipeline.stages.checks import (
    check_augmented_not_empty,
    check_dropped_share,
    over_shards,
)


@dg.asset(
    deps=[seed_pairs],
    check_specs=check_specs(BACKWARD_MODEL, *MODEL_CHECKS),
    description=(
        "M_yx = p(x | y): the base model finetuned on the seed pairs turned round, output → "
        "instruction (paper section 2.2). Given a text, it writes what somebody may have asked."
    ),
    **asset_settings("augmentation", "huggingface", "pytorch", name=BACKWARD_MODEL, gpu=True),
)
@retried
def backward_model(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Train the backward model."""
    opened = workspace.open()
    manifest = train_backward_model(opened, log_progress(context))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(manifest.content_hash),
        metadata={
            **training_metadata(manifest.facts, "backward model M_yx"),
            **manifest_metadata(opened, manifest, context),
        },
        check_results=check_results(context, model_checks(opened, manifest)),
    )


@dg.asset(
    deps=[clueweb_segments, corpus_selection, backward_model],
    partitions_def=warc_shards,
    check_specs=check_specs(AUGMENTED_SET, *DATASET_CHECKS, "not_empty", "dropped_share"),
    description=(
        "The augmented set A: each selected segment y with the candidate instruction x̂ that the "
        "backward model wrote for it (self-augmentation, paper section 2.2). Candidates only: the "
        "next iterations rate them and keep the best."
    ),
    **asset_settings("augmentation", "vllm", "parquet", name=AUGMENTED_SET, gpu=True),
)
@retried
def augmented_set(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Generate instructions for the shards of this run."""
    opened = workspace.open()
    shards = shards_of(context)
    manifests = {}
    for shard, manifest in write_augmented_set(opened, shards, log_progress(context)):
        manifests[shard] = manifest
        frame = opened.datasets.read(AUGMENTED_SET, shard)
        add_partition_metadata(
            context,
            shard,
            {
                "dropped": counts_table(manifest.facts["dropped"]),
                "prompts_cut": manifest.facts["n_truncated"],
                **length_plot(
                    "lengths", frame["instruction_chars"], "instruction length (characters)"
                ),
                "samples": sample_table(frame, ["instruction", "output", "mean_logprob"]),
                **manifest_metadata(opened, manifest, context),
            },
        )
    maximum = opened.recipe.checks.max_dropped_fraction
    dropped = {
        shard: check_dropped_share(m.rows or 0, m.facts["dropped"], maximum, "instructions")
        for shard, m in manifests.items()
    }
    return dg.MaterializeResult(
        data_version=shards_data_version(context, opened, AUGMENTED_SET),
        check_results=check_results(
            context,
            [
                *shard_checks(opened, manifests, ["segment_id"], AUGMENTED_SCHEMA),
                check_augmented_not_empty(manifests),
                over_shards(dropped),
            ],
        ),
    )


AUGMENTATION_ASSETS = [backward_model, augmented_set]
