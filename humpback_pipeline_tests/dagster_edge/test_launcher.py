"""A run's process killed or stuck: it is noticed, its steps end, its slots are free."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import psutil
import pytest
from dagster._core.events import EngineEventData
from dagster._core.launcher import WorkerStatus

from humpback_pipeline.automation import worker
from humpback_pipeline.automation.launcher import MonitoredRunLauncher
from humpback_pipeline.commands.homes import INSTANCE_SETTINGS, bind_homes
from humpback_pipeline.recipe_section import PACKAGE_DIR

Status = dg.DagsterRunStatus

# A step that hears no interrupt and writes into a temporary file, as one in a long call to C.
DEFINITIONS = """
import os, sys, time
from pathlib import Path
import dagster as dg
from humpback_pipeline.automation.executor import build_executor

class Config(dg.Config):
    deaf: bool

@dg.op(pool="gpu")
def work(config: Config):
    Path(os.environ["HUMPBACK_HOME"], f".tmp-part-{os.getpid()}-abc").write_text("half")
    end_s = time.monotonic() + 120
    while time.monotonic() < end_s:
        try:
            time.sleep(0.1)
        except BaseException:
            if not config.deaf:
                raise

@dg.job(executor_def=build_executor())
def job():
    work()
"""


@dataclass
class Home:
    """An instance of its own, and runs of a job in it as `make run` starts them."""

    folder: Path
    instance: dg.DagsterInstance
    processes: list[subprocess.Popen[bytes]]

    def start_run(self, *, deaf: bool) -> dg.DagsterRun:
        """Start a run and wait until its step is at work."""
        config = {"ops": {"work": {"config": {"deaf": deaf}}}}
        (self.folder / "config.json").write_text(json.dumps(config))
        command = [sys.executable, "-m", "dagster", "job", "execute"]
        command += ["-f", str(self.folder / "job.py"), "-c", str(self.folder / "config.json")]
        with (self.folder / "output.txt").open("wb") as output:
            process = subprocess.Popen(
                command,
                env={**os.environ, "DAGSTER_HOME": str(self.folder)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.processes.append(process)
        wait_until(lambda: self.leftovers() or process.poll() is not None, 90.0)
        assert process.poll() is None, (self.folder / "output.txt").read_text()[-3000:]
        return self.instance.get_runs()[0]

    def leftovers(self) -> list[Path]:
        return list(self.folder.glob(".tmp-*"))

    def step(self) -> psutil.Process:
        return psutil.Process(int(self.leftovers()[0].name.split("-")[2]))

    def status(self, run: dg.DagsterRun) -> Status:
        found = self.instance.get_run_by_id(run.run_id)
        assert found is not None
        return found.status


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    shutil.copy(PACKAGE_DIR / INSTANCE_SETTINGS, tmp_path)
    (tmp_path / "job.py").write_text(DEFINITIONS)
    monkeypatch.setenv("HUMPBACK_HOME", str(tmp_path))
    monkeypatch.setenv("HUMPBACK_RECIPE", "demo")
    processes: list[subprocess.Popen[bytes]] = []
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield Home(tmp_path, instance, processes)
    for process in processes:
        if process.poll() is None:
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.wait()


def wait_until(condition: Callable[[], object], timeout_s: float) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {timeout_s:.0f} s"
        time.sleep(0.05)


def is_gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def launcher_of(instance: dg.DagsterInstance) -> MonitoredRunLauncher:
    launcher = instance.run_launcher
    assert isinstance(launcher, MonitoredRunLauncher)
    return launcher


@pytest.mark.slow
def test_killed_worker_is_noticed_and_nothing_of_it_goes_on(home: Home) -> None:
    run = home.start_run(deaf=True)
    launcher, step = launcher_of(home.instance), home.step()
    slots = home.instance.event_log_storage.get_concurrency_info("gpu").claimed_slots
    assert [slot.run_id for slot in slots] == [run.run_id]
    assert launcher.check_run_worker_health(run).status == WorkerStatus.RUNNING
    assert worker.bury_dead_runs(home.instance) == []

    home.processes[0].kill()
    home.processes[0].wait()
    # This step, unlike those of assets, does not watch who made it.
    assert not is_gone(step)
    assert launcher.check_run_worker_health(run).status == WorkerStatus.FAILED

    assert is_gone(step)
    assert home.leftovers() == []
    assert home.instance.event_log_storage.get_concurrency_info("gpu").claimed_slots == []
    assert [run.run_id for run in worker.bury_dead_runs(home.instance)] == [run.run_id]
    assert home.status(run) == Status.FAILURE


@pytest.mark.slow
def test_step_that_hears_no_interrupt_is_killed_within_seconds(home: Home) -> None:
    run = home.start_run(deaf=True)
    step = home.step()
    started_s = time.monotonic()

    assert launcher_of(home.instance).terminate(run.run_id)
    wait_until(lambda: home.status(run) != Status.CANCELING, 20.0)

    assert home.status(run) == Status.CANCELED
    assert time.monotonic() - started_s < 10.0
    assert is_gone(step)
    wait_until(lambda: home.processes[0].poll() is not None, 10.0)
    assert home.leftovers() == []


@pytest.mark.slow
def test_run_of_another_process_stops_when_told_to(home: Home) -> None:
    run = home.start_run(deaf=False)
    step = home.step()

    assert launcher_of(home.instance).terminate(run.run_id)
    wait_until(lambda: home.status(run) == Status.CANCELED, 5.0)

    wait_until(lambda: is_gone(step), 5.0)
    assert not launcher_of(home.instance).terminate(run.run_id)


@pytest.mark.slow
def test_canceling_a_run_whose_process_is_stopped_kills_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("humpback_pipeline.automation.launcher.WORKER_GRACE_S", 1.0)
    run = home.start_run(deaf=True)
    step = home.step()
    home.processes[0].send_signal(signal.SIGSTOP)

    assert launcher_of(home.instance).terminate(run.run_id)
    wait_until(lambda: home.status(run) == Status.CANCELED, 10.0)

    wait_until(lambda: is_gone(step), 10.0)
    wait_until(lambda: home.leftovers() == [], 10.0)


def started_run(instance: dg.DagsterInstance, pid: int | None) -> dg.DagsterRun:
    """A run that has started and whose process an event names."""
    run = instance.create_run_for_job(dg.JobDefinition(graph_def=_nothing.to_job().graph, name="n"))
    if pid is not None:
        instance.report_engine_event("Started process", run, EngineEventData.in_process(pid))
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_START.value, "n"), run.run_id
    )
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    assert found.status == Status.STARTED
    return found


@dg.graph
def _nothing() -> None:
    """A graph without a step."""


def test_number_of_a_dead_process_says_nothing_of_the_next_one_with_it(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = started_run(home.instance, os.getpid())
    assert worker.worker_is_alive(home.instance, own)
    monkeypatch.setattr(worker, "CLOCK_TOLERANCE_S", 0.0)
    with subprocess.Popen([sys.executable, "-c", "pass"]) as dead:
        dead.wait()
        assert not worker.worker_is_alive(home.instance, started_run(home.instance, dead.pid))
    # An event of a moment ago cannot have named a process that was started just now.
    run = started_run(home.instance, None)
    monkeypatch.setattr(worker, "_named_numbers", lambda *_: [(later.pid, time.time() - 3.0)])
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"]) as later:
        assert not worker.worker_is_alive(home.instance, run)
        later.kill()


def test_run_that_is_being_launched_is_buried_only_by_who_launches(home: Home) -> None:
    run = started_run(home.instance, None)
    assert [dead.run_id for dead in worker.bury_dead_runs(home.instance)] == [run.run_id]
    starting = home.instance.create_run_for_job(_nothing.to_job(name="m"))
    home.instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.RUN_STARTING.value, "m"), starting.run_id
    )
    assert worker.bury_dead_runs(home.instance) == []
    dead = worker.bury_dead_runs(home.instance, launched_here=True)
    assert [run.run_id for run in dead] == [starting.run_id]


def test_canceling_run_of_a_dead_process_ends_canceled(home: Home) -> None:
    run = started_run(home.instance, None)

    assert launcher_of(home.instance).terminate(run.run_id)

    assert home.status(run) == Status.CANCELED


def test_fresh_dagster_home_gets_the_projects_settings_and_keeps_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUMPBACK_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    bind_homes()
    settings = tmp_path / "home" / "dagster" / INSTANCE_SETTINGS
    assert settings.read_bytes() == (PACKAGE_DIR / INSTANCE_SETTINGS).read_bytes()
    assert settings.read_bytes() == (PACKAGE_DIR.parent / INSTANCE_SETTINGS).read_bytes()
    with dg.DagsterInstance.get() as instance:
        assert instance.run_monitoring_enabled
        assert instance.run_retries_enabled
        assert not instance.run_retries_retry_on_asset_or_op_failure
        pools = instance.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 1
        launcher_of(instance)
    settings.write_text("telemetry: {enabled: false}\n")
    bind_homes()
    assert settings.read_text() == "telemetry: {enabled: false}\n"
