"""Settings shared by the assets: owners, tags, partitioning by range, progress to the run's log."""

from typing import Any

import dagster as dg

from humpback_pipeline.progress import OnProgress, Progress

OWNERS = ["team:humpback"]
GPU_POOL = "gpu"
# One run materialises the whole graph over a range of shards, so every asset needs this policy.
SINGLE_RUN = dg.BackfillPolicy.single_run()


def asset_settings(group: str, *kinds: str, gpu: bool = False, **tags: str) -> dict[str, Any]:
    """Keyword arguments of `@dg.asset` that all assets of a group have."""
    settings: dict[str, Any] = {
        "group_name": group,
        "owners": OWNERS,
        "kinds": set(kinds),
        "tags": {"stage": group, **tags},
        "backfill_policy": SINGLE_RUN,
    }
    if gpu:
        settings["pool"] = GPU_POOL
    return settings


def log_progress(context: dg.AssetExecutionContext) -> OnProgress:
    """A listener that writes each progress line to the run's log, where the UI shows it live."""

    def listener(progress: Progress) -> None:
        context.log.info(f"progress | {progress}")

    return listener
