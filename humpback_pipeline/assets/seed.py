"""Group `seed`: the human pairs everything starts from."""

import dagster as dg

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import counts_table, manifest_metadata, sample_table
from humpback_pipeline.assets.reported_checks import report_check
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.sources import SOURCE_CHECKS, look_at_seeds, snapshot_metadata
from humpback_pipeline.automation.observation import report_seed_data
from humpback_pipeline.preflight import check_before_work
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.seeds import SEED_SCHEMA
from humpback_pipeline.stages.checks import (
    check_dropped_share,
    check_seed_rows,
    check_seeds_not_in_evaluation,
)
from humpback_pipeline.stages.seed import SEED_PAIRS, write_seed_pairs


@dg.observable_source_asset(
    group_name="seed",
    description=(
        "The user's seed file or folder: a small set of human (instruction, output) pairs. Its "
        "version is the hash of its content, so an edit makes everything downstream stale. Each "
        "observation shows which pairs were added, removed and changed since the one before. "
        "Watched by seed_data_sensor (see Automation)."
    ),
    tags={"stage": "seed"},
)
def seed_data(context: dg.AssetExecutionContext, workspace: WorkspaceResource) -> dg.ObserveResult:
    """Observe the content of the seed file(s) and what has changed in them."""
    opened = workspace.open()
    look = look_at_seeds(opened)
    report_check(context.instance, look.check)
    if look.snapshot is None:
        raise dg.Failure(f"the seed data cannot be used: {look.problem}")
    return dg.ObserveResult(
        data_version=dg.DataVersion(look.snapshot.facts["content_hash"]),
        metadata=snapshot_metadata(opened, look.snapshot),
    )


@dg.asset(
    deps=[seed_data],
    check_specs=check_specs(
        SEED_PAIRS, *DATASET_CHECKS, "seed_rows", "dropped_share", "seeds_not_in_evaluation"
    ),
    description=(
        "The seed pairs, validated, deduplicated, in the recipe's languages, split into train and "
        "dev. The paper takes 3,200 first turns from OpenAssistant (section 2.1)."
    ),
    **asset_settings("seed", "polars", "parquet", name=SEED_PAIRS),
)
@retried
def seed_pairs(
    context: dg.AssetExecutionContext, workspace: WorkspaceResource
) -> dg.MaterializeResult:
    """Check all that can be checked before expensive work, then read the seeds."""
    opened = workspace.open()
    for line in check_before_work(opened):
        context.log.info(line)
    # However the run was started, lineage begins with the content that is read here.
    report_seed_data(context.instance, opened)
    manifest = write_seed_pairs(opened)
    frame = opened.datasets.read(SEED_PAIRS)
    return dg.MaterializeResult(
        data_version=dg.DataVersion(manifest.content_hash),
        metadata={
            "format": manifest.facts["format"],
            "splits": counts_table(manifest.facts["splits"], "split"),
            "dropped": counts_table(manifest.facts["dropped"]),
            "bad_records": manifest.facts["bad_records"],
            "samples": sample_table(frame, ["instruction", "output", "split"]),
            **manifest_metadata(opened, manifest, context),
        },
        check_results=check_results(
            context,
            [
                *dataset_checks(opened, manifest, ["pair_id"], SEED_SCHEMA),
                check_seed_rows(manifest, opened.recipe.seed),
                check_dropped_share(
                    manifest.rows or 0,
                    manifest.facts["dropped"],
                    opened.recipe.checks.max_dropped_fraction,
                    "records",
                ),
                check_seeds_not_in_evaluation(opened, manifest),
            ],
        ),
    )


# The checks of sources are assets' checks to Dagster, and come with them.
SEED_ASSETS = [seed_data, seed_pairs, *SOURCE_CHECKS]
