"""Is work of this pipeline queued or in progress? Whatever launches by itself waits for its end."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus
from dagster._core.storage.tags import WILL_RETRY_TAG

from humpback_pipeline.automation.tags import TRIGGER_TAG

IN_FLIGHT = [
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
# "Materialize all" in the UI is a backfill: run after run, with moments between them.
OPEN_BACKFILL = [
    BulkActionStatus.REQUESTED,
    BulkActionStatus.CANCELING,
    BulkActionStatus.FAILING,
]
# Runs of assets picked in the UI, of our jobs, and of `make run`.
JOB_PREFIXES = ("__ASSET_JOB", "humpback", "iteration_", "after_", "ablations", "benchmarks")
# A run that was created but never queued, because whoever did it died, must not block for ever.
MAX_NOT_STARTED_S = 600.0
# A run whose process was killed is launched again by the daemon within seconds.
MAX_RETRY_GAP_S = 300.0


def work_in_flight(instance: dg.DagsterInstance) -> str | None:
    """What is queued or in progress, for people; None if nothing is.

    Runs started by hand count as well: two runs that train the same model side by side would mix
    versions, and a new partition in the middle of a run would miss what the run has already done.
    """
    records = instance.get_run_records(dg.RunsFilter(statuses=IN_FLIGHT))
    for record in records:
        run = record.dagster_run
        age_s = time.time() - record.create_timestamp.timestamp()
        if run.status == dg.DagsterRunStatus.NOT_STARTED and age_s > MAX_NOT_STARTED_S:
            continue
        if run.job_name.startswith(JOB_PREFIXES) or TRIGGER_TAG in run.tags:
            state = "in progress" if run.status != dg.DagsterRunStatus.QUEUED else "queued"
            return f"run {run.run_id[:8]} of {_job_title(run)} is {state}"
    if waiting := _awaits_retry(instance):
        return f"run {waiting[:8]} was killed and is about to be launched again"
    backfills = instance.get_backfills(filters=BulkActionsFilter(statuses=OPEN_BACKFILL), limit=1)
    return f"backfill {backfills[0].backfill_id} is in progress" if backfills else None


def _awaits_retry(instance: dg.DagsterInstance) -> str | None:
    failed = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE],
        tags={WILL_RETRY_TAG: "true"},
        updated_after=datetime.now(UTC) - timedelta(seconds=MAX_RETRY_GAP_S),
    )
    waiting = [run for run in instance.get_runs(failed) if run.is_complete_and_waiting_to_retry]
    return waiting[0].run_id if waiting else None


def _job_title(run: dg.DagsterRun) -> str:
    picked = ", ".join(sorted(key.to_user_string() for key in run.asset_selection or ()))
    return (picked or "assets") if run.job_name.startswith("__ASSET_JOB") else run.job_name
