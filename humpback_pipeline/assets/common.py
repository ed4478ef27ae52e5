"""Settings shared by the assets: owners, tags, versions, progress to the run's log, freshness."""

import contextlib
from datetime import timedelta
from typing import Any

import dagster as dg

from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.progress import OnProgress, Progress, paced
from humpback_pipeline.recipe_operations import AutomationRecipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.code_versions import code_version
from humpback_pipeline.storage import NotMaterializedError, hash_text

OWNERS = ["team:humpback"]
GPU_POOL = "gpu"
# One run materialises the whole graph over a range of shards, so every asset needs this policy.
SINGLE_RUN = dg.BackfillPolicy.single_run()
# Dagster takes no shorter window.
MIN_WINDOW = timedelta(minutes=1)


def asset_settings(
    group: str, *kinds: str, name: str | None = None, gpu: bool = False, **tags: str
) -> dict[str, Any]:
    """Keyword arguments of `@dg.asset` that all assets of a group have.

    `name` is the asset's, for the version of its code.
    """
    settings: dict[str, Any] = {
        "group_name": group,
        "owners": OWNERS,
        "kinds": set(kinds),
        "tags": {"stage": group, **tags},
        "backfill_policy": SINGLE_RUN,
    }
    if name is not None:
        settings["code_version"] = code_version(name)
    if gpu:
        settings["pool"] = GPU_POOL
    return settings


def log_progress(context: dg.AssetExecutionContext) -> OnProgress:
    """A listener that writes progress lines to the run's log, where the UI shows them live.

    About one in five seconds for each piece of work, fewer as it goes on, and always its last.
    """

    def listener(progress: Progress) -> None:
        context.log.info(f"progress | {progress}")

    # Just below the pause of those that count, or every second line of theirs would come too soon.
    return paced(listener, every_s=4.5)


def shards_of(context: dg.AssetExecutionContext) -> list[str]:
    """The shards this run is to work on. Raises Failure if none was chosen."""
    if not (context.has_partition_key or context.has_partition_key_range):
        raise dg.Failure(
            "no shard was chosen: on the job's page use Materialize all → All, or pick shards.",
            allow_retries=False,
        )
    return list(context.partition_keys)


def shards_with(context: dg.AssetExecutionContext, workspace: Workspace, name: str) -> list[str]:
    """The registered shards that the dataset `name` has; the others are named in the run's log.

    One WARC file that gave no segments must not hold up the work on all others.
    """
    registered = context.instance.get_dynamic_partitions(WARC_SHARDS)
    there: list[str] = []
    missing: list[str] = []
    for shard in registered:
        is_there = workspace.datasets.versions(name, shard).has_current()
        (there if is_there else missing).append(shard)
    if missing:
        listed = ", ".join(missing[:10]) + (" …" if len(missing) > 10 else "")
        context.log.warning(f"{len(missing)} shards without {name} are left out: {listed}")
    return there


def shards_data_version(
    context: dg.AssetExecutionContext, workspace: Workspace, name: str
) -> dg.DataVersion:
    """Data version of a dataset's partitions: a hash over the content of all shards it has now.

    Dagster gives all partitions of a run one version. One over just that run's shards would differ
    between a run of all and a run of one, and call dependants stale though nothing has changed.
    """
    hashes = []
    for shard in sorted(context.instance.get_dynamic_partitions(WARC_SHARDS)):
        with contextlib.suppress(NotMaterializedError):
            hashes.append(f"{shard} {workspace.datasets.manifest(name, shard).content_hash}")
    return dg.DataVersion(hash_text("\n".join(hashes)))


def freshness_policy(automation: AutomationRecipe) -> dg.FreshnessPolicy | None:
    """How old the report and the last model may become, if the recipe says so."""
    if automation.freshness_fail_days is None:
        return None
    fail = max(MIN_WINDOW, timedelta(days=automation.freshness_fail_days))
    warn_days = automation.freshness_warn_days
    warn = timedelta(days=warn_days) if warn_days is not None else None
    if warn is not None and not MIN_WINDOW <= warn < fail:
        warn = None
    return dg.FreshnessPolicy.time_window(fail_window=fail, warn_window=warn)
