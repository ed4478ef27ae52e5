"""Sensors: new seed data re-runs what depends on it; new WARC files become partitions."""

import dagster as dg

from humpback_pipeline.automation.partitions import WARC_SHARDS, warc_shards
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.seeds import SeedDataError, seed_content_hash
from humpback_pipeline.web.shards import list_shards

RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"


def range_tags(shards: list[str]) -> dict[str, str]:
    """Tags of one run over all `shards`, which are in the order of their registration."""
    return {RANGE_START_TAG: shards[0], RANGE_END_TAG: shards[-1]} if shards else {}


def build_sensors(recipe: Recipe) -> list[dg.SensorDefinition]:
    """The sensors of a recipe; both are off until they are switched on in the UI."""
    del recipe
    return [seed_data_sensor, warc_shards_sensor]


seed_dependants = dg.define_asset_job(
    "after_seed_change",
    selection=dg.AssetSelection.assets("seed_pairs").downstream(),
    description="Everything that depends on the seed pairs, in order, over all shards.",
)
new_shard_job = dg.define_asset_job(
    "after_new_shard",
    selection=dg.AssetSelection.assets("clueweb_segments", "corpus_selection"),
    description="Segments of a new WARC file and a new selection over all shards.",
)


@dg.sensor(
    job=seed_dependants,
    minimum_interval_seconds=30,
    description=(
        "Compares the content of the seed data, not its time stamp. On a change it validates the "
        "new file, records the observation and launches one run of what depends on the seeds."
    ),
)
def seed_data_sensor(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> dg.SensorResult | dg.SkipReason:
    """One run for each change of content; a broken file launches nothing and fails the tick."""
    opened = workspace.open()
    seed = opened.recipe.seed
    content_hash = seed_content_hash(seed.path)
    if content_hash == context.cursor:
        return dg.SkipReason("seed data unchanged")
    if context.cursor is None:
        context.update_cursor(content_hash)
        return dg.SkipReason("first look at the seed data; changes from now on launch a run")
    try:
        opened.read_seeds()
    except SeedDataError as error:
        raise dg.Failure(
            f"the changed seed data cannot be used, nothing launched: {error}"
        ) from error
    shards = context.instance.get_dynamic_partitions(WARC_SHARDS)
    observation = dg.AssetObservation(
        "seed_data", tags={"dagster/data_version": content_hash}, metadata={"path": str(seed.path)}
    )
    return dg.SensorResult(
        run_requests=[dg.RunRequest(tags=range_tags(list(shards)))],
        asset_events=[observation],
        cursor=content_hash,
    )


@dg.sensor(
    job=new_shard_job,
    minimum_interval_seconds=60,
    description="Each new WARC file in the corpus folder becomes a partition and is segmented.",
)
def warc_shards_sensor(
    context: dg.SensorEvaluationContext, workspace: WorkspaceResource
) -> dg.SensorResult | dg.SkipReason:
    """Register new files as partitions and run them; a removed file keeps its partition."""
    shards = list_shards(workspace.open().recipe.corpus.warc_dir)
    known = set(context.instance.get_dynamic_partitions(WARC_SHARDS))
    new = [key for key in shards if key not in known]
    if not new:
        return dg.SkipReason(f"no new WARC file among {len(shards)}")
    return dg.SensorResult(
        dynamic_partitions_requests=[warc_shards.build_add_request(new)],
        run_requests=[dg.RunRequest(tags=range_tags(new))],
    )
