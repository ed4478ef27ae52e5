"""Group `augmentation`: the backward model writes an instruction for every selected segment."""

import dagster as dg

from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.corpus import clueweb_segments, corpus_selection
from humpback_pipeline.assets.metadata import (
    add_partition_metadata,
    counts_table,
    length_plot,
    manifest_metadata,
    sample_table,
    training_metadata,
)
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.automation.partitions import warc_shards
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.augmentation import (
    AUGMENTED_SET,
    train_backward_model,
    write_augmented_set,
)


@dg.asset(
    deps=[seed_pairs],
    description=(
        "M_yx = p(x | y): the base model finetuned on the seed pairs turned round, output → "
        "instruction (paper section 2.2)."
    ),
    **asset_settings("augmentation", "huggingface", "pytorch", gpu=True),
)
def backward_model(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Train the backward model."""
    opened = workspace.open()
    manifest = train_backward_model(opened, log_progress(context))
    return dg.MaterializeResult(
        data_version=dg.DataVersion(manifest.content_hash),
        metadata={
            **manifest_metadata(opened, manifest),
            **training_metadata(manifest.facts, "backward model M_yx"),
        },
    )


@dg.asset(
    deps=[clueweb_segments, corpus_selection, backward_model],
    partitions_def=warc_shards,
    description=(
        "The augmented set A: each selected segment y with the candidate instruction x̂ that the "
        "backward model wrote for it (self-augmentation, paper section 2.2)."
    ),
    **asset_settings("augmentation", "vllm", "parquet", gpu=True),
)
def augmented_set(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Generate instructions for the shards of this run with one engine."""
    opened = workspace.open()
    hashes = []
    for shard, manifest in write_augmented_set(
        opened, list(context.partition_keys), log_progress(context)
    ):
        frame = opened.datasets.read(AUGMENTED_SET, shard)
        hashes.append(manifest.content_hash)
        add_partition_metadata(
            context,
            shard,
            {
                **manifest_metadata(opened, manifest),
                "dropped": counts_table(manifest.facts["dropped"]),
                "prompts_cut": manifest.facts["n_truncated"],
                "lengths": length_plot(
                    frame["instruction_chars"], "instruction length (characters)"
                ),
                "samples": sample_table(frame, ["instruction", "output", "mean_logprob"]),
            },
        )
    return dg.MaterializeResult(
        data_version=dg.DataVersion("-".join(value[:12] for value in hashes))
    )


AUGMENTATION_ASSETS = [backward_model, augmented_set]
