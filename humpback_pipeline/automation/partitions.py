"""Partitions: one per WARC file of the corpus folder."""

from __future__ import annotations

import dagster as dg

WARC_SHARDS = "warc_shards"
warc_shards = dg.DynamicPartitionsDefinition(name=WARC_SHARDS)


def register_shards(instance: dg.DagsterInstance, keys: list[str]) -> tuple[list[str], list[str]]:
    """Make the registered partitions exactly `keys`; return (added, removed).

    A run over "all shards" is a range of partitions, so shards of another corpus in between would
    be taken along. Removing a partition removes neither its data nor its history.
    """
    registered = instance.get_dynamic_partitions(WARC_SHARDS)
    removed = [key for key in registered if key not in keys]
    added = [key for key in keys if key not in registered]
    for key in removed:
        instance.delete_dynamic_partition(WARC_SHARDS, key)
    if added:
        instance.add_dynamic_partitions(WARC_SHARDS, added)
    return added, removed
