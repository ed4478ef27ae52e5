"""Tags of runs that nobody started by hand: what set them off, why, and how urgent they are."""

from __future__ import annotations

from typing import Literal

# Number of the process of the command that a run was started by.
PROCESS_TAG = "humpback/process"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
PRIORITY_TAG = "dagster/priority"
TRIGGER_TAG = "humpback/trigger"
REASON_TAG = "humpback/reason"
SEED_CONTENT_TAG = "humpback/seed_content"
# What the whole graph was made from; the weekly run is left out while nothing of it has changed.
SOURCES_TAG = "humpback/sources"

Trigger = Literal["seed_change", "new_shard", "nightly", "weekly"]
# A run that somebody started has priority 0, so it leaves the queue first.
PRIORITIES: dict[Trigger, int] = {"seed_change": -1, "new_shard": -2, "nightly": -5, "weekly": -5}


def trigger_tags(trigger: Trigger, reason: str) -> dict[str, str]:
    """Tags of a run that `trigger` launches; `reason` is for people."""
    return {
        TRIGGER_TAG: trigger,
        REASON_TAG: reason,
        PRIORITY_TAG: str(PRIORITIES[trigger]),
    }


def range_tags(shards: list[str]) -> dict[str, str]:
    """Tags of one run over all `shards`, which are in the order of their registration."""
    return {RANGE_START_TAG: shards[0], RANGE_END_TAG: shards[-1]} if shards else {}
