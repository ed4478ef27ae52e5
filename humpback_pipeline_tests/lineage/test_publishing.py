"""An old version made current again: by command and by job, and what Dagster knows of it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import dagster as dg
import pytest
from dagster._core.definitions.data_version import StaleStatus
from dagster._utils.test.data_versions import get_stale_status_resolver
from filelock import FileLock
from small_home import SmallHome

from humpback_pipeline.__main__ import main
from humpback_pipeline.assets.metadata import manifest_metadata
from humpback_pipeline.automation.publishing import (
    BusyHomeError,
    PublishVersionConfig,
    publish_version,
    republish,
    republished_event,
)
from humpback_pipeline.definitions import defs
from humpback_pipeline.lineage import Catalogue
from humpback_pipeline.lineage.roles import group_of
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.storage import Manifest


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture(autouse=True)
def at_home(home: SmallHome, monkeypatch: pytest.MonkeyPatch) -> None:
    home.keep = 3
    monkeypatch.setenv("HUMPBACK_HOME", str(home.home))
    monkeypatch.delenv("HUMPBACK_RECIPE", raising=False)


def workspace() -> Workspace:
    return Workspace(load_recipe())


def two_assets(home: SmallHome, seeds: list[str]) -> list[dg.AssetsDefinition]:
    """seed_pairs, which reads the list as it then is, and m0 made from it."""

    def result(manifest: Manifest) -> dg.MaterializeResult:
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata=manifest_metadata(workspace(), manifest),
        )

    @dg.asset(code_version="1")
    def seed_pairs() -> dg.MaterializeResult:
        return result(home.seeds(*seeds))

    @dg.asset(deps=[seed_pairs], code_version="1")
    def m0() -> dg.MaterializeResult:
        return result(home.model("m0", ["seed_pairs"]))

    return [seed_pairs, m0]


def statuses(
    instance: dg.DagsterInstance, assets: list[dg.AssetsDefinition]
) -> dict[str, StaleStatus]:
    resolver = get_stale_status_resolver(instance, assets)
    return {a.key.to_user_string(): resolver.get_status(a.key) for a in assets}


def publish(instance: dg.DagsterInstance, name: str, version: str = "previous") -> Manifest:
    manifest = republish(instance, workspace(), name, version)
    instance.report_runless_asset_event(republished_event(instance, workspace(), manifest))
    return manifest


def test_publishing_old_then_new_seeds_makes_the_model_stale_then_fresh(
    home: SmallHome, instance: dg.DagsterInstance
) -> None:
    seeds = ["s0", "s1"]
    assets = two_assets(home, seeds)
    dg.materialize(assets, instance=instance)
    seeds.append("s2")
    dg.materialize(assets, instance=instance)
    assert set(statuses(instance, assets).values()) == {StaleStatus.FRESH}
    publish(instance, "seed_pairs")
    found = statuses(instance, assets)
    assert found == {"seed_pairs": StaleStatus.FRESH, "m0": StaleStatus.STALE}
    publish(instance, "seed_pairs")
    assert set(statuses(instance, assets).values()) == {StaleStatus.FRESH}


def test_published_old_model_stays_known_as_made_from_old_seeds(
    home: SmallHome, instance: dg.DagsterInstance
) -> None:
    seeds = ["s0", "s1"]
    assets = two_assets(home, seeds)
    dg.materialize(assets, instance=instance)
    seeds.append("s2")
    dg.materialize(assets, instance=instance)
    old = publish(instance, "m0")
    assert statuses(instance, assets)["m0"] == StaleStatus.STALE
    publish(instance, "seed_pairs")
    assert set(statuses(instance, assets).values()) == {StaleStatus.FRESH}
    event = instance.get_latest_materialization_event(dg.AssetKey("m0"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.tags is not None
    assert event.asset_materialization.tags["dagster/data_version"] == old.content_hash
    assert "made current again" in str(event.asset_materialization.metadata["republished"].value)


def test_job_publishes_one_partition_and_reports_it(
    home: SmallHome, instance: dg.DagsterInstance
) -> None:
    first = Catalogue(home.home).resolve("augmented_set/a").version
    home.augmented("a", style="new ")
    config = PublishVersionConfig(asset="augmented_set", version=first[:18], partition="a")
    result = publish_version.execute_in_process(
        instance=instance,
        resources={"workspace": WorkspaceResource()},
        run_config=dg.RunConfig(ops={"publish_kept_version": config}),
    )
    assert result.success
    current = home.datasets.manifest("augmented_set", "a")
    assert current.version == first
    event = instance.get_latest_materialization_event(dg.AssetKey("augmented_set"))
    assert event is not None
    assert event.asset_materialization is not None
    assert event.asset_materialization.partition == "a"
    assert (event.asset_materialization.tags or {})["dagster/data_version"] == current.content_hash


@pytest.mark.parametrize(
    ("asset", "version", "partition", "words"),
    [
        ("m7", "previous", "", "no dataset or model 'm7'"),
        ("m1", "previous", "", "no such version"),
        ("m1", "2019", "", "no such version"),
        ("augmented_set", "previous", "", "name one: augmented_set/a, augmented_set/b"),
    ],
)
def test_job_fails_with_words_for_what_it_cannot_publish(
    instance: dg.DagsterInstance, asset: str, version: str, partition: str, words: str
) -> None:
    config = PublishVersionConfig(asset=asset, version=version, partition=partition)
    result = publish_version.execute_in_process(
        instance=instance,
        resources={"workspace": WorkspaceResource()},
        run_config=dg.RunConfig(ops={"publish_kept_version": config}),
        raise_on_error=False,
    )
    assert not result.success
    (failure,) = result.get_step_failure_events()
    assert words in (failure.step_failure_data.user_failure_data.description or "")  # type: ignore[union-attr]
    assert not instance.get_latest_materialization_event(dg.AssetKey(asset))


def test_nothing_is_published_under_a_running_run(
    home: SmallHome, instance: dg.DagsterInstance
) -> None:
    before = home.model("m0", ["seed_pairs"], weights="other")
    with (
        FileLock(home.home / "run.lock"),
        pytest.raises(BusyHomeError, match="a run is at work"),
    ):
        republish(instance, workspace(), "m0", "previous")
    run = dg.DagsterRun(job_name="humpback", status=dg.DagsterRunStatus.STARTED)
    instance.add_run(run)  # as the UI starts them, without the lock of `make run`
    with pytest.raises(BusyHomeError, match=run.run_id[:8]):
        republish(instance, workspace(), "m0", "previous")
    assert home.models.manifest("m0") == before


def test_commands_answer_compare_list_and_publish(
    home: SmallHome, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(home.home / "dagster"))
    first = home.models.manifest("m0").version
    home.model("m0", ["seed_pairs"], weights="other", loss=1.25)

    def output(*arguments: str) -> str:
        assert main(list(arguments)) == 0
        return capsys.readouterr().out

    assert "seed data seeds.jsonl" in output("lineage", "m2")
    assert f"m0 @ {first}" in output("lineage", "m0", "--version", "previous")
    assert "loss_after: 2.5 → 1.25" in output("compare", "m0", "previous", "current")
    listed = output("versions", "m0").splitlines()
    assert [line.split()[1] for line in listed] == ["current", "kept"]
    assert output("versions", "augmented_set", "--partition", "a").count("current") == 1
    assert "m0 was made anew" in output("stale")
    assert first in output("publish", "m0", first[:21])
    assert output("stale") == "Nothing is stale.\n"
    assert home.models.manifest("m0").version == first
    with dg.DagsterInstance.get() as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey("m0")) is not None
    assert main(["publish", "m0", "1999"]) == 1
    assert "no such version" in capsys.readouterr().err
    assert main(["lineage", "no such thing"]) == 1
    assert "Ask for a model" in capsys.readouterr().err


def test_groups_are_those_of_the_graph() -> None:
    graph = defs.resolve_asset_graph()
    names = {key.to_user_string(): graph.get(key).group_name for key in graph.get_all_asset_keys()}
    assert {name: group_of(name) for name in names} == names


def test_lineage_knows_nothing_of_dagster() -> None:
    code = "import sys, humpback_pipeline.lineage.pages; sys.exit('dagster' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
