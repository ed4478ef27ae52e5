"""Partitions: one per WARC file of the corpus folder."""

from __future__ import annotations

import dagster as dg

warc_shards = dg.DynamicPartitionsDefinition(name="warc_shards")


def register_shards(instance: dg.DagsterInstance, keys: list[str]) -> tuple[list[str], list[str]]:
    """Make the registered partitions exactly `keys`; return (added, removed).

    A run over "all shards" is a range of partitions, so shards of another corpus in between would
    be taken along. Removing a partition removes neither its data nor its history.
    """
    registered = instance.get_dynamic_partitions(warc_shards.name)
    removed = [key for key in registered if key not in keys]
    added = [key for key in keys if key not in registered]
    for key in removed:
        instance.delete_dynamic_partition(warc_shards.name, key)
    if added:
        instance.add_dynamic_partitions(warc_shards.name, added)
    return added, removed
