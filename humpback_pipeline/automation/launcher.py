"""Dagster's default launcher, and what it lacks: noticing that a run's process was killed.

Named in dagster.yaml. The daemon's run monitoring asks it every few seconds; a dead run is marked
failed, its slots are free at once, and run retries launch what was not done.
"""

from __future__ import annotations

import threading

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from humpback_pipeline.automation import worker

KILLED = "The process of this run was killed or has crashed."
# Longer than the executor gives a step, so that a worker at work on stopping is left to it.
WORKER_GRACE_S = 9.0


class MonitoredRunLauncher(dg.DefaultRunLauncher):
    """Launches runs as the default launcher does; knows a dead run worker, and can stop any."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes: run monitoring asks."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether the run's process lives. Nothing of a dead one is at work after this call."""
        if worker.worker_is_alive(self._instance, run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        worker.end_orphans(self._instance, run.run_id)
        self._instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        return CheckRunHealthResult(WorkerStatus.FAILED, KILLED)

    def get_run_worker_debug_info(
        self, run: dg.DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        """What the message of the run's failure adds."""
        del run, include_container_logs
        return f"{KILLED} Out of memory is a frequent reason."

    def terminate(self, run_id: str) -> bool:
        """Stop a run within seconds, whoever launched it; one whose process is dead is canceled."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if run.status in worker.WORKER_STATUSES and not worker.worker_is_alive(self._instance, run):
            self._instance.report_run_canceling(run)
            worker.bury(self._instance, run, f"Canceled. {KILLED}")
            return True
        try:
            stopped = super().terminate(run_id)
        except DagsterUserCodeUnreachableError:  # its code server is gone, it may not be
            stopped = False
        process = worker.find_worker(self._instance, run_id)
        if process is None:
            return stopped
        threading.Thread(
            target=worker.stop_worker,
            args=(self._instance, run, process, WORKER_GRACE_S),
            kwargs={"interrupt": not stopped},
            name=f"stop-{run_id[:8]}",
            daemon=True,
        ).start()
        return True
