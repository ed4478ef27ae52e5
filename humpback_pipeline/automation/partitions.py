"""Partitions: one per WARC file of the corpus folder, and one per variant of the ablations."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import dagster as dg

from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.warc_files import refusal
from humpback_pipeline.web.shards import CorpusError

WARC_SHARDS = "warc_shards"
warc_shards = dg.DynamicPartitionsDefinition(name=WARC_SHARDS)
# Groups with jobs of their own. A run has one range of partitions, so assets with those of
# ablations and assets with shards cannot be in one; and a benchmark can take longer than all else.
ABLATIONS_GROUP = "ablations"
BENCHMARKS_GROUP = "benchmarks"


def ablation_variants(names: Iterable[str]) -> dg.StaticPartitionsDefinition:
    """The partitions of ablations, in the order of the recipe."""
    return dg.StaticPartitionsDefinition(list(names))


def register_shards(
    instance: dg.DagsterInstance, keys: Sequence[str], keep: Collection[str] = ()
) -> tuple[list[str], list[str]]:
    """Make the registered partitions `keys` and those to `keep`; return (added, removed).

    A run over "all shards" is a range of partitions, so shards of another corpus in between would
    be taken along. Removing a partition removes neither its data nor its history. `keep` is for
    shards of this corpus whose file is gone (`removed_shards`): only the user removes those.
    """
    registered = instance.get_dynamic_partitions(WARC_SHARDS)
    removed = [key for key in registered if key not in keys and key not in keep]
    added = [key for key in keys if key not in registered]
    for key in removed:
        instance.delete_dynamic_partition(WARC_SHARDS, key)
    if added:
        instance.add_dynamic_partitions(WARC_SHARDS, added)
    return added, removed


def register_new_shards(instance: dg.DagsterInstance, workspace: Workspace) -> list[str]:
    """Make partitions of WARC files that have none, so that the UI shows them; return the new ones.

    Nothing is launched or removed. Files that cannot be opened are left to the sensor, which says
    so, as is a corpus folder that cannot be used.
    """
    try:
        shards = workspace.shards()
    except CorpusError:
        return []
    registered = instance.get_dynamic_partitions(WARC_SHARDS)
    new = [key for key, path in shards.items() if key not in registered and refusal(path) is None]
    if new:
        instance.add_dynamic_partitions(WARC_SHARDS, new)
    return new


def contiguous_groups(keys: Collection[str], registered: Sequence[str]) -> list[list[str]]:
    """Split `keys` into runs of neighbours in the order of registration: each is a range."""
    groups: list[list[str]] = []
    was_wanted = False
    for key in registered:
        if key in keys:
            if not was_wanted:
                groups.append([])
            groups[-1].append(key)
        was_wanted = key in keys
    return groups
