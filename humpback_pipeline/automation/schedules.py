"""Schedules: nightly, what sources far away have changed; weekly, everything. Off by default."""

import time
from collections.abc import Sequence

import dagster as dg

from humpback_pipeline.automation.in_flight import IN_FLIGHT, JOB_PREFIXES, work_in_flight
from humpback_pipeline.automation.jobs import (
    ALL_JOB,
    CORPUS_ASSETS,
    SEED_DEPENDANTS,
    all_job,
)
from humpback_pipeline.automation.observation import SourceUnusableError, report_seed_data
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.automation.seed_sensor import change_reason, shards_without_segments
from humpback_pipeline.automation.shard_sensor import (
    ShardCursor,
    ShardWork,
    look_at_corpus,
    shard_reason,
    shard_runs,
)
from humpback_pipeline.automation.tags import (
    SEED_CONTENT_TAG,
    SOURCES_TAG,
    range_tags,
    trigger_tags,
)
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.seeds import SeedDataError
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.sources import seeds_read_last, sources_state
from humpback_pipeline.stages.warc_files import survey_shards

UNSUCCESSFUL = [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def build_schedules(recipe: Recipe) -> list[dg.ScheduleDefinition]:
    """Both schedules, when and on or off as the recipe says."""
    return [_nightly(recipe), _weekly(recipe)]


def sources_tag(workspace: Workspace, registered: Sequence[str]) -> dict[str, str]:
    """Tag of a run of the whole graph: while nothing it names changes, the weekly run is left out.

    Raises the errors of the sources that cannot be read.
    """
    shards = survey_shards(workspace, registered, hash_new=registered)
    return {SOURCES_TAG: sources_state(workspace, [s for s in shards if s.is_registered])}


def _nightly(recipe: Recipe) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="nightly",
        job=all_job,
        cron_schedule=recipe.automation.nightly.cron,
        execution_timezone=recipe.automation.timezone,
        default_status=_status(recipe.automation.nightly.enabled),
        description=(
            "Compares seed data and WARC files by content, as the sensors do, and runs just what "
            "depends on those that changed. For sources that are too far away to be watched; "
            "nothing runs when nothing has changed."
        ),
    )
    def nightly(
        context: dg.ScheduleEvaluationContext, workspace: WorkspaceResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        opened = workspace.open()
        work = look_at_corpus(context, opened, ShardCursor(""), time.time())
        problem, reason, content_hash = "", "", ""
        try:
            reason, content_hash = _seed_change(context.instance, opened)
        except SeedDataError as error:
            problem = f"the seed data cannot be used: {error}"
        if problem and not work.todo:
            raise SourceUnusableError(f"nothing launched: {problem}")
        if not reason and not work.todo:
            return dg.SkipReason(f"nothing changed: {work.summary()}")
        if waits_for := work_in_flight(context.instance):
            return dg.SkipReason(f"something changed, but {waits_for}; left to the next look")
        return _nightly_runs(context, opened, work, reason, content_hash)

    return nightly


def _weekly(recipe: Recipe) -> dg.ScheduleDefinition:
    @dg.schedule(
        name="weekly",
        job=all_job,
        cron_schedule=recipe.automation.weekly.cron,
        execution_timezone=recipe.automation.timezone,
        default_status=_status(recipe.automation.weekly.enabled),
        description=(
            "The whole graph over all shards. Left out while recipe, code, seeds, shards, prompts "
            "and evaluation data are those of the last whole run that succeeded."
        ),
    )
    def weekly(
        context: dg.ScheduleEvaluationContext, workspace: WorkspaceResource
    ) -> dg.RunRequest | dg.SkipReason:
        opened = workspace.open()
        registered = list(context.instance.get_dynamic_partitions(WARC_SHARDS))
        if not registered:
            return dg.SkipReason("there is no partition to run")
        tag = sources_tag(opened, registered)
        if last := _last_success(context.instance, tag):
            return dg.SkipReason(f"nothing changed since run {last[:8]} made everything")
        if waits_for := work_in_flight(context.instance):
            return dg.SkipReason(f"{waits_for}; left to the next look")
        shards_without_segments(opened, registered)
        tags = trigger_tags("weekly", "weekly run of the whole graph")
        return dg.RunRequest(run_key="weekly", tags={**range_tags(registered), **tags, **tag})

    return weekly


def _seed_change(instance: dg.DagsterInstance, workspace: Workspace) -> tuple[str, str]:
    """(why, content hash) if the seed data are not those the graph was made from, else empty."""
    snapshot = report_seed_data(instance, workspace)
    read_last = seeds_read_last(workspace)
    if snapshot is None or read_last in (None, snapshot.facts["content_hash"]):
        return "", ""
    return change_reason(snapshot, str(read_last)), snapshot.facts["content_hash"]


def _nightly_runs(
    context: dg.ScheduleEvaluationContext,
    workspace: Workspace,
    work: ShardWork,
    reason: str,
    content_hash: str,
) -> list[dg.RunRequest]:
    """One run over all shards if the seeds changed, else one for each range of changed shards."""
    instance = context.instance
    registered = list(instance.get_dynamic_partitions(WARC_SHARDS))
    ranges = shard_runs(work, registered)
    new = [shard.key for shard in work.todo if not shard.is_registered]
    if new:
        instance.add_dynamic_partitions(WARC_SHARDS, new)
    if reason:
        shards = [*registered, *new]
        missing = shards_without_segments(workspace, shards)
        reasons = [reason, shard_reason(work, {shard.key for shard in work.todo})]
        tags = trigger_tags("nightly", "; ".join(text for text in reasons if text))
        # Segments of new shards come first, in the same run.
        chosen = None if work.todo or missing else _keys(context, SEED_DEPENDANTS)
        return [
            dg.RunRequest(
                run_key="seeds",
                asset_selection=chosen,
                tags={**range_tags(shards), **tags, SEED_CONTENT_TAG: content_hash},
            )
        ]
    corpus = _keys(context, CORPUS_ASSETS)
    return [
        dg.RunRequest(
            run_key=f"shards-{keys[0]}",
            asset_selection=corpus,
            tags={**range_tags(keys), **trigger_tags("nightly", shard_reason(work, keys))},
        )
        for keys in ranges
    ]


def _keys(context: dg.ScheduleEvaluationContext, selection: dg.AssetSelection) -> list[dg.AssetKey]:
    assert context.repository_def is not None  # the scheduler always gives it
    return sorted(selection.resolve(context.repository_def.asset_graph))


def _last_success(instance: dg.DagsterInstance, tag: dict[str, str]) -> str | None:
    """Latest successful run of the whole graph from these sources, unless a run failed since."""
    success = dg.RunsFilter(job_name=ALL_JOB, tags=tag, statuses=[dg.DagsterRunStatus.SUCCESS])
    found = instance.get_run_records(success, limit=1)
    if not found:
        return None
    since = dg.RunsFilter(
        statuses=[*UNSUCCESSFUL, *IN_FLIGHT], created_after=found[0].create_timestamp
    )
    later = instance.get_runs(since)
    is_broken = any(run.job_name.startswith(JOB_PREFIXES) for run in later)
    return None if is_broken else found[0].dagster_run.run_id


def _status(enabled: bool) -> dg.DefaultScheduleStatus:
    status = dg.DefaultScheduleStatus
    return status.RUNNING if enabled else status.STOPPED
