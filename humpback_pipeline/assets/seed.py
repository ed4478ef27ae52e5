"""Group `seed`: the human pairs everything starts from."""

import dagster as dg

from humpback_pipeline.assets.common import asset_settings
from humpback_pipeline.assets.metadata import counts_table, manifest_metadata, sample_table
from humpback_pipeline.preflight import check_before_work
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.seeds import seed_content_hash
from humpback_pipeline.stages.seed import SEED_PAIRS, write_seed_pairs


@dg.observable_source_asset(
    group_name="seed",
    description=(
        "The user's seed file or folder: a small set of human (instruction, output) pairs. Its "
        "version is the hash of its content, so an edit makes everything downstream stale."
    ),
    tags={"stage": "seed"},
)
def seed_data(workspace: WorkspaceResource) -> dg.ObserveResult:
    """Observe the content hash of the seed file(s)."""
    seed = workspace.open().recipe.seed
    content_hash = seed_content_hash(seed.path)
    return dg.ObserveResult(
        data_version=dg.DataVersion(content_hash),
        metadata={"path": dg.MetadataValue.path(str(seed.path)), "content_hash": content_hash},
    )


@dg.asset(
    deps=[seed_data],
    description=(
        "The seed pairs, validated, deduplicated, in the recipe's languages, split into train and "
        "dev. The paper takes 3,200 first turns from OpenAssistant (section 2.1)."
    ),
    **asset_settings("seed", "polars", "parquet"),
)
def seed_pairs(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Check all that can be checked before expensive work, then read the seeds."""
    opened = workspace.open()
    for line in check_before_work(opened):
        context.log.info(line)
    manifest = write_seed_pairs(opened)
    frame = opened.datasets.read(SEED_PAIRS)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(manifest.content_hash),
        metadata={
            **manifest_metadata(opened, manifest),
            "format": manifest.facts["format"],
            "splits": counts_table(manifest.facts["splits"], "split"),
            "dropped": counts_table(manifest.facts["dropped"]),
            "bad_records": manifest.facts["bad_records"],
            "samples": sample_table(frame, ["instruction", "output", "split"]),
        },
    )


SEED_ASSETS = [seed_data, seed_pairs]
