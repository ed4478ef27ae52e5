"""What tests of sensors and schedules share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from sensed import PAIRS, Sensed

from humpback_pipeline.automation.partitions import WARC_SHARDS


@pytest.fixture(scope="module")
def shared_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    """One instance on disk, as making its tables takes longer than most tests."""
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def sensed(tmp_path: Path, shared_instance: dg.DagsterInstance) -> Sensed:
    """Twelve seed pairs, an empty corpus folder; nothing materialised or registered."""
    shared_instance.wipe()
    for key in shared_instance.get_dynamic_partitions(WARC_SHARDS):
        shared_instance.delete_dynamic_partition(WARC_SHARDS, key)
    corner = Sensed(tmp_path, shared_instance)
    corner.warc_dir.mkdir()
    corner.write_pairs(PAIRS)
    corner.write_recipe()
    return corner
