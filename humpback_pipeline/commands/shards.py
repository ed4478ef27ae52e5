"""`shards`: the partitions and their WARC files; take a partition away whose file is gone."""

from __future__ import annotations

import dagster as dg

from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.commands.homes import bind_homes
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.warc_files import WarcShard, refusal, survey_shards

STATES = {
    "new": "new: not segmented yet",
    "same": "segmented",
    "changed": "changed since it was segmented",
    "unknown": "not compared yet (large); ask again",
    "gone": "file is gone; partition and segments kept",
}


def list_shards() -> int:
    """Print every WARC file and partition: size, rows of segments, state."""
    bind_homes()
    workspace = Workspace(load_recipe())
    with dg.DagsterInstance.get() as instance:
        registered = instance.get_dynamic_partitions(WARC_SHARDS)
    shards = survey_shards(workspace, registered)
    width = max([len(shard.key) for shard in shards], default=5)
    print(f"{'shard':<{width}}  {'partition':<9}  {'file':>9}  {'segments':>8}  state")
    for shard in shards:
        cells = (
            "yes" if shard.is_registered else "no",
            f"{shard.n_bytes / 1e6:.1f} MB" if shard.n_bytes is not None else "-",
            _rows(workspace, shard),
        )
        print(f"{shard.key:<{width}}  {cells[0]:<9}  {cells[1]:>9}  {cells[2]:>8}  {_state(shard)}")
    gone = [shard.key for shard in shards if shard.state == "gone"]
    if gone:
        print(f"\nTake one away: python -m humpback_pipeline shards --forget {gone[0]}")
    return 0


def forget_shard(key: str) -> int:
    """Unregister a partition whose file is gone; its data and history stay on disk.

    Raises LookupError: no such partition; ValueError: its file is there, so it would come back.
    """
    bind_homes()
    workspace = Workspace(load_recipe())
    with dg.DagsterInstance.get() as instance:
        registered = instance.get_dynamic_partitions(WARC_SHARDS)
        if key not in registered:
            known = ", ".join(registered) or "none"
            raise LookupError(f"{key!r} is no partition; registered are: {known}.")
        shard = next(s for s in survey_shards(workspace, registered, 0.0) if s.key == key)
        if shard.path is not None:
            raise ValueError(
                f"{key!r} still has its file {shard.path}, and the sensor would register it again; "
                "move the file out of the corpus folder first."
            )
        instance.delete_dynamic_partition(WARC_SHARDS, key)
    print(f"{key}: partition removed. Its segments and their history stay on disk;")
    print("the next selection, and all that follows from it, leaves them out.")
    return 0


def _rows(workspace: Workspace, shard: WarcShard) -> str:
    if shard.recorded_hash is None:
        return "-"
    return f"{workspace.datasets.manifest(SEGMENTS, shard.key).rows:,}"


def _state(shard: WarcShard) -> str:
    if shard.state == "gone" and shard.recorded_hash is None:
        return "file is gone; it was never segmented"
    if shard.state == "gone" and not shard.is_ours:
        return "partition of another corpus folder"
    if shard.state in ("new", "changed") and shard.path and refusal(shard.path):
        return "cannot be opened as WARC"
    return STATES[shard.state]
