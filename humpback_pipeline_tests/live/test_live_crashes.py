"""Kills and cancels of real runs: nothing goes on, nothing is half-written, the graph gets green.

The tests of this module share one UI and one home, in their order.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from live_ui import ALL_ASSETS_JOB, LiveUi, Status

from humpback_pipeline.automation.worker import find_worker

pytestmark = [pytest.mark.slow]

CANCEL_S = 10.0
SHARDS = ("garden", "soils")
CORPUS = ["clueweb_segments", "corpus_selection"]


@pytest.fixture(scope="module")
def live(open_ui: Callable[..., LiveUi]) -> LiveUi:
    """A UI on an empty home; `ui` registered the shards as it started."""
    quick_daemon = Path(__file__).parent / "quick_daemon"
    opened = open_ui(environment={"PYTHONPATH": str(quick_daemon)})
    assert set(opened.instance.get_dynamic_partitions("warc_shards")) == {
        "garden",
        "repairs",
        "soils",
    }
    return opened


def wait_for_step(live: LiveUi, run_id: str, step: str) -> None:
    """Wait until a step of a run is at work."""

    def started() -> bool:
        records = live.instance.get_records_for_run(
            run_id, of_type=dg.DagsterEventType.STEP_START
        ).records
        events = [record.event_log_entry.dagster_event for record in records]
        return any(event is not None and event.step_key == step for event in events)

    live.wait_until(started, 120.0, f"{step} has started")


def processes_of(live: LiveUi, run_id: str) -> list[psutil.Process]:
    """A run's worker and everything below it."""
    worker = find_worker(live.instance, run_id)
    assert worker is not None
    return [worker, *worker.children(recursive=True), *live.steps_at_work()]


def are_gone(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=CANCEL_S)[1]


def leftovers(live: LiveUi) -> list[Path]:
    return [path for path in live.project.home.rglob("*tmp*") if "cache" not in path.parts]


def claimed_slots(live: LiveUi) -> list[Any]:
    return list(live.instance.event_log_storage.get_concurrency_info("gpu").claimed_slots)


def cancel(live: LiveUi, run_id: str) -> None:
    """Press Terminate; everything of the run is gone within `CANCEL_S`."""
    processes = processes_of(live, run_id)
    started_s = time.monotonic()
    live.terminate_run(run_id)
    live.wait_for_run(run_id, Status.CANCELED, CANCEL_S)
    assert are_gone(processes)
    assert time.monotonic() - started_s < CANCEL_S
    assert leftovers(live) == []
    live.wait_until(lambda: not claimed_slots(live), 20.0, "the slot is free")


def test_canceled_training_stops_and_the_next_one_finishes(live: LiveUi) -> None:
    run = live.launch(
        assets=["seed_pairs", "m0"],
        run_config={"resources": {"workspace": {"config": {"training": {"steps": 5_000}}}}},
    )
    wait_for_step(live, run, "m0")
    progress = "progress | training m0"
    live.wait_until(
        lambda: any(m.startswith(progress) for m in live.messages(run)), 60.0, "it trains"
    )

    cancel(live, run)

    assert not list((live.project.home / "models").rglob("*.safetensors"))
    live.wait_for_run(live.launch(assets=["m0"]))


def test_killed_worker_is_marked_failed_and_the_rest_is_done_by_a_retry(live: LiveUi) -> None:
    assets = ["seed_pairs", "backward_model", *CORPUS, "augmented_set"]
    run = live.launch(assets=assets, partitions=SHARDS)
    wait_for_step(live, run, "backward_model")
    processes = processes_of(live, run)

    processes[0].kill()
    live.wait_for_run(run, Status.FAILURE, 20.0)
    failed_s = time.time()

    assert are_gone(processes)
    assert live.materialized_at_s("backward_model") == 0.0
    retry = live.wait_until(
        lambda: live.runs(tags={"dagster/parent_run_id": run}), 60.0, "the run is launched again"
    )[0]
    live.wait_for_run(retry.run_id, timeout_s=180.0)
    assert live.materialized_at_s("backward_model") > failed_s
    before, after = set(live.steps(run)), set(live.steps(retry.run_id))
    assert set(assets) <= before | after
    assert not before & after
    assert leftovers(live) == []


def test_canceled_generation_stops_and_the_next_one_finishes(live: LiveUi) -> None:
    before = live.project.workspace().datasets.manifest("augmented_set", "garden").version
    sampling = {"augmentation": {"sampling": {"max_new_tokens": 3_000, "temperature": 1.5}}}
    run = live.launch(
        assets=["augmented_set"],
        partition="garden",
        run_config={"resources": {"workspace": {"config": sampling}}},
    )
    wait_for_step(live, run, "augmented_set")
    time.sleep(2.0)

    cancel(live, run)

    datasets = live.project.workspace().datasets
    assert datasets.manifest("augmented_set", "garden").version == before
    live.wait_for_run(live.launch(assets=["augmented_set"], partition="garden"))


def test_killed_ui_leaves_nothing_and_goes_on_where_it_was(live: LiveUi) -> None:
    live.project.change_recipe(training__steps=20)
    began_s = time.time()
    backfill = live.launch_backfill(["seed_pairs", "m0", *CORPUS])
    run = live.wait_until(
        lambda: [r for r in live.runs(statuses=[Status.STARTED]) if "m0" in _assets(r)],
        60.0,
        "the backfill trains",
    )[0]
    wait_for_step(live, run.run_id, "m0")

    before = live.processes()
    live.kill("ui")  # and its guard: what is left is ended by the next one
    assert live.materialized_at_s("m0") < began_s
    live.start()
    restarted_s = time.time()

    assert are_gone(before)
    live.wait_until(
        lambda: live.instance.get_backfill(backfill).status.value == "COMPLETED_SUCCESS",
        240.0,
        "the backfill is complete",
    )
    found = live.instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == Status.FAILURE
    assert live.materialized_at_s("m0") > restarted_s
    # It may have been made before: then it is not made again.
    assert live.materialized_at_s("corpus_selection") > began_s
    assert leftovers(live) == []
    assert claimed_slots(live) == []


def _assets(run: dg.DagsterRun) -> set[str]:
    selected = run.asset_selection or set()
    return {key.to_user_string() for key in selected} if run.job_name == ALL_ASSETS_JOB else set()
