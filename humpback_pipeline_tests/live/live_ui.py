"""A real `humpback_pipeline ui`: Dagster's webserver and daemon at work on a small project.

Everything a person does in the browser goes through the webserver's GraphQL; so does this class.
"""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import httpx
import psutil
import queries
from projects import ROOT, Project, free_port
from ui_processes import kind_of, processes_of

LOCATION = "humpback_pipeline"
REPOSITORY = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__"}
ALL_ASSETS_JOB = "__ASSET_JOB"
RANGE_START, RANGE_END = (f"dagster/asset_partition_range_{end}" for end in ("start", "end"))
Status = dg.DagsterRunStatus
PATIENCE = 3.0
FINISHED = {Status.SUCCESS, Status.FAILURE, Status.CANCELED}
T = TypeVar("T")


@dataclass
class LiveUi:
    """The UI of one project, started by `start` and ended by `stop`, both at most a few seconds.

    `environment` is added to the project's. Times are in seconds.
    """

    project: Project
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    report_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    _open: ExitStack = field(default_factory=ExitStack)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def report_url(self) -> str:
        return f"http://127.0.0.1:{self.report_port}"

    @property
    def log(self) -> Path:
        return self.project.folder / "ui.log"

    @cached_property
    def instance(self) -> dg.DagsterInstance:
        """The project's Dagster instance, to read what happened."""
        return self._open.enter_context(self.project.instance())

    def start(self, timeout_s: float = 90.0) -> float:
        """Start the UI and wait until the code location is loaded; return how long it took."""
        environment = {
            **self.project.environment,
            "HUMPBACK_REPORT_PORT": str(self.report_port),
            **self.environment,
        }
        started_s = time.monotonic()
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "humpback_pipeline", "ui", "--port", str(self.port)],
                cwd=ROOT,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self.wait_until(self._answers, timeout_s, "the UI answers with its code location loaded")
        return time.monotonic() - started_s

    def stop(self) -> list[psutil.Process]:
        """End the UI as a person does; return (after killing them) processes that outlived it."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(40)
        self.process = None
        left = psutil.wait_procs(self.processes(), timeout=15)[1]
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=10)
        return left

    def close(self) -> None:
        """Stop, and let go of the instance."""
        self.stop()
        self._open.close()
        self.__dict__.pop("instance", None)

    def restart(self) -> float:
        """Stop what still runs and start anew on the same home and ports."""
        self.stop()
        return self.start()

    def processes(self) -> list[psutil.Process]:
        """Every process of this project, however deep, orphans too: told by its DAGSTER_HOME."""
        return processes_of(self.project.dagster_home)

    def steps_at_work(self) -> list[psutil.Process]:
        """Processes of run workers and their steps."""
        return [process for process in self.processes() if kind_of(process) == "runs"]

    def kill(self, what: str = "all") -> list[psutil.Process]:
        """SIGKILL `all` processes, or those of a kind in `ui_processes.KINDS`, or `runs`.

        Returns what was killed.
        """
        found = [process for process in self.processes() if what in ("all", kind_of(process))]
        for process in found:
            process.kill()
        psutil.wait_procs(found, timeout=10)
        if self.process is not None and what in ("all", "ui"):
            self.process.wait(10)
        return found

    def graphql(self, query: str, variables: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """`data` of an answer. Raises AssertionError with the server's errors."""
        answer = httpx.post(
            f"{self.url}/graphql",
            json={"query": query, "variables": dict(variables or {})},
            timeout=60.0,
        ).json()
        assert not answer.get("errors"), answer["errors"]
        return dict(answer["data"])

    def launch(
        self,
        job: str = ALL_ASSETS_JOB,
        *,
        assets: Sequence[str] = (),
        partition: str = "",
        partitions: tuple[str, str] | None = None,
        run_config: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Launch one run of a job, or of `assets`; return its id.

        `partition` is one shard, `partitions` the first and last of a range of shards.
        """
        run_tags = dict(tags or {})
        if partition:
            run_tags["dagster/partition"] = partition
        if partitions:
            run_tags |= dict(zip((RANGE_START, RANGE_END), partitions, strict=True))
        selector: dict[str, Any] = {**REPOSITORY, "jobName": job}
        if assets:
            selector["assetSelection"] = [{"path": [name]} for name in assets]
            selector["assetCheckSelection"] = None
        parameters = {
            "selector": selector,
            "runConfigData": dict(run_config or {}),
            "executionMetadata": {"tags": [{"key": k, "value": v} for k, v in run_tags.items()]},
        }
        answer = self.graphql(queries.LAUNCH, {"executionParams": parameters})["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return str(answer["run"]["runId"])

    def launch_backfill(
        self, assets: Sequence[str], partitions: Sequence[str] | None = None
    ) -> str:
        """Launch a backfill as the UI's Materialize dialog does; all shards unless given."""
        parameters: dict[str, Any] = {"assetSelection": [{"path": [name]} for name in assets]}
        if partitions is None:
            parameters["allPartitions"] = True
        else:
            parameters["partitionNames"] = list(partitions)
        answer = self.graphql(queries.BACKFILL, {"backfillParams": parameters})
        backfill = answer["launchPartitionBackfill"]
        assert backfill["__typename"] == "LaunchBackfillSuccess", backfill
        return str(backfill["backfillId"])

    def start_sensor(self, name: str) -> None:
        """Switch a sensor on."""
        selector = {**REPOSITORY, "sensorName": name}
        answer = self.graphql(queries.START_SENSOR, {"selector": selector})["startSensor"]
        assert answer["__typename"] == "Sensor", answer

    def stop_sensor(self, name: str) -> None:
        """Switch a sensor off."""
        selector = {**REPOSITORY, "sensorName": name}
        sensor = self.graphql(queries.SENSOR, {"selector": selector})["sensorOrError"]
        answer = self.graphql(queries.STOP_SENSOR, {"id": sensor["sensorState"]["id"]})
        assert "instigationState" in answer["stopSensor"], answer

    def ticks(self, name: str) -> list[dict[str, Any]]:
        """Latest looks of a sensor, newest first: timestamp, status, skipReason, error, runIds."""
        selector = {**REPOSITORY, "sensorName": name}
        sensor = self.graphql(queries.SENSOR, {"selector": selector})["sensorOrError"]
        return list(sensor["sensorState"]["ticks"])

    def start_schedule(self, name: str) -> None:
        """Switch a schedule on."""
        selector = {**REPOSITORY, "scheduleName": name}
        answer = self.graphql(queries.START_SCHEDULE, {"selector": selector})["startSchedule"]
        assert answer["__typename"] == "ScheduleStateResult", answer

    def terminate_run(self, run_id: str) -> None:
        """Ask a run to end, as the Terminate button does."""
        answer = self.graphql(queries.TERMINATE, {"runId": run_id})["terminateRun"]
        assert answer["__typename"] == "TerminateRunSuccess", answer

    def runs(self, **filters: Any) -> list[dg.DagsterRun]:
        """Runs, oldest first; `filters` as of dg.RunsFilter."""
        return list(self.instance.get_runs(dg.RunsFilter(**filters)))[::-1]

    def wait_for_run(
        self, run_id: str, status: Status = Status.SUCCESS, timeout_s: float = 120.0
    ) -> dg.DagsterRun:
        """Wait until a run has `status`; raise AssertionError at once if it ends otherwise."""

        def reached() -> dg.DagsterRun | None:
            run = self.instance.get_run_by_id(run_id)
            assert run is not None
            assert run.status == status or run.status not in FINISHED, (
                f"run {run_id} ended {run.status.value}, not {status.value}\n{self.diagnosis()}"
            )
            return run if run.status == status else None

        return self.wait_until(reached, timeout_s, f"run {run_id} is {status.value}")

    def wait_until(self, predicate: Callable[[], T | None], timeout_s: float, what: str) -> T:
        """Poll until `predicate` is true and return its value; AssertionError after `timeout_s`.

        Seconds of an idle machine: one that runs other tests beside gets `PATIENCE` times as many.
        """
        timeout_s *= PATIENCE
        deadline_s = time.monotonic() + timeout_s
        while True:
            if value := predicate():
                return value
            if self.process is not None and self.process.poll() is not None:
                raise AssertionError(f"the UI ended, waiting until {what}\n{self.diagnosis()}")
            if time.monotonic() > deadline_s:
                raise AssertionError(f"not within {timeout_s:.0f} s: {what}\n{self.diagnosis()}")
            time.sleep(0.25)

    def messages(self, run_id: str) -> list[str]:
        """What the run's steps logged: progress lines, warnings, notes."""
        records = self.instance.get_records_for_run(run_id, limit=5_000).records
        entries = [record.event_log_entry for record in records]
        return [entry.user_message for entry in entries if entry.dagster_event is None]

    def steps(self, run_id: str) -> list[str]:
        """Steps of a run that ended well, in the order in which they did."""
        done = self.instance.get_records_for_run(run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
        events = [record.event_log_entry.dagster_event for record in done.records]
        return [event.step_key for event in events if event and event.step_key]

    def materialized_by(self, run_id: str) -> list[str]:
        """Assets that a run materialised, each once, in order."""
        made = self.instance.get_records_for_run(
            run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION
        )
        events = [record.event_log_entry.dagster_event for record in made.records]
        names = [e.asset_key.to_user_string() for e in events if e and e.asset_key]
        return list(dict.fromkeys(names))

    def materialized_at_s(self, asset: str, partition: str | None = None) -> float:
        """When an asset (of one shard) was last materialised; 0 if never."""
        records = self.instance.fetch_materializations(
            dg.AssetRecordsFilter(
                asset_key=dg.AssetKey(asset),
                asset_partitions=None if partition is None else [partition],
            ),
            limit=1,
        ).records
        return records[0].timestamp if records else 0.0

    def diagnosis(self) -> str:
        """Runs with their failures, and the tail of the UI's log."""
        lines = []
        for run in self.runs():
            lines.append(f"run {run.run_id} of {run.job_name}: {run.status.value}")
            failed = self.instance.get_records_for_run(
                run.run_id,
                of_type={dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE},
            )
            for record in failed.records:
                event = record.event_log_entry.dagster_event
                data = event.event_specific_data if event else None
                error = getattr(data, "error", None)
                lines.append(f"  {event.step_key if event else ''}: {error or data}"[:1_500])
        tail = self.log.read_text(errors="replace").splitlines()[-30:] if self.log.exists() else []
        return "\n".join([*lines, f"-- {self.log}", *tail])

    def _answers(self) -> bool:
        try:
            nodes = self.graphql("{ assetNodes { id } }")["assetNodes"]
        except (httpx.HTTPError, ValueError):
            return False
        return bool(nodes)
