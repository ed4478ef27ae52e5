"""The process that carries a run: whether it is alive, how to stop it, what a killed one leaves.

A run worker holds a file lock as long as it lives, which the kernel releases however it ends. So
nothing is concluded from a process number alone, which another process may have by now.
"""

from __future__ import annotations

import contextlib
import fnmatch
import signal
from pathlib import Path

import dagster as dg
import psutil
from filelock import FileLock, Timeout

from humpback_pipeline.automation.tags import PROCESS_TAG
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.storage.atomic import remove_path, temporary_paths

# A process started this much later than the event that names its number is another one.
CLOCK_TOLERANCE_S = 5.0
WORKER_STATUSES = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]

_held: list[FileLock] = []


def hold_run(instance: dg.DagsterInstance, run_id: str) -> None:
    """Mark this process as the run's worker until it ends; it never lets go before."""
    path = _lock_path(instance, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, thread_local=False)
    lock.acquire()
    _held.append(lock)


def worker_is_alive(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether the process of a run that has started still lives."""
    path = _lock_path(instance, run.run_id)
    if path.exists():
        try:
            with FileLock(path, timeout=0, thread_local=False):
                return False
        except Timeout:
            return True
    # Not at its steps yet: the process is only known by its number.
    if find_worker(instance, run.run_id) is not None:
        return True
    # A run of the command line names its process with its first steps only; its command is known.
    command = run.tags.get(PROCESS_TAG, "")
    is_named = _named_numbers(instance, run.run_id, dg.DagsterEventType.ENGINE_EVENT)
    return not is_named and command.isdigit() and _is_alive(int(command))


def find_worker(instance: dg.DagsterInstance, run_id: str) -> psutil.Process | None:
    """The live process of a run, by the engine events that name it."""
    return next(iter(_named_processes(instance, run_id, dg.DagsterEventType.ENGINE_EVENT)), None)


def end_orphans(instance: dg.DagsterInstance, run_id: str) -> None:
    """Kill the steps that a dead worker left, and remove the temporary files they were writing.

    Steps end with their worker by themselves; this is for one killed in its very first moment, as
    nothing may be written any more once the run is marked failed.
    """
    for process in _named_processes(instance, run_id, dg.DagsterEventType.STEP_WORKER_STARTED):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
            process.wait(5.0)
    numbers = _named_numbers(instance, run_id, dg.DagsterEventType.STEP_WORKER_STARTED)
    with contextlib.suppress(ValueError):  # a recipe that cannot be read names no home
        remove_leftovers_of(load_recipe().home, {pid for pid, _ in numbers})


def bury(instance: dg.DagsterInstance, run: dg.DagsterRun, message: str) -> None:
    """End a run whose worker is dead: failed, or canceled if that was asked; its slots are free."""
    end_orphans(instance, run.run_id)
    current = instance.get_run_by_id(run.run_id)
    if current is None or current.is_finished:
        return
    if current.status == dg.DagsterRunStatus.CANCELING:
        instance.report_run_canceled(current, message)
    else:
        instance.report_run_failed(current, message)
    instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)


def bury_dead_runs(
    instance: dg.DagsterInstance, *, launched_here: bool = False
) -> list[dg.DagsterRun]:
    """Bury every run whose worker is dead, and return them.

    The daemon's run monitoring does the same within seconds, but a terminal has no daemon.
    `launched_here`: also runs that are being launched and have no worker yet, as the caller knows
    that whoever was launching them is dead.
    """
    statuses = [*WORKER_STATUSES, *([dg.DagsterRunStatus.STARTING] if launched_here else [])]
    runs = instance.get_runs(dg.RunsFilter(statuses=statuses))
    dead = [run for run in runs if not worker_is_alive(instance, run)]
    for run in dead:
        bury(instance, run, "The process of this run was killed.")
    return dead


def stop_worker(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    process: psutil.Process,
    grace_s: float,
    *,
    interrupt: bool,
) -> None:
    """Wait for a run worker to stop, asked as by Ctrl-C if `interrupt`; kill it after `grace_s`.

    Its steps end with it.
    """
    with contextlib.suppress(psutil.NoSuchProcess):
        if interrupt:
            process.send_signal(signal.SIGINT)
        try:
            process.wait(grace_s)
        except psutil.TimeoutExpired:
            # In this order: its code server would report a worker killed while canceling as failed,
            # and a failed run is launched again.
            instance.report_run_canceled(run, "The run did not stop when asked, and was killed.")
            process.kill()
            process.wait()
    end_orphans(instance, run.run_id)


def remove_leftovers_of(home: Path, process_ids: set[int]) -> None:
    """Remove the temporary files and folders of dead writers below a recipe's home."""
    for pid in process_ids:
        if _is_alive(pid):
            continue
        for path in temporary_paths(home.expanduser()):
            if fnmatch.fnmatch(path.name, f"*-{pid}-*"):
                remove_path(path)


def _lock_path(instance: dg.DagsterInstance, run_id: str) -> Path:
    return Path(instance.storage_directory()) / run_id / "worker.lock"


def _named_processes(
    instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType
) -> list[psutil.Process]:
    """Live processes that events of this kind name, newest first."""
    found = []
    for pid, timestamp_s in reversed(_named_numbers(instance, run_id, kind)):
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.create_time() <= timestamp_s + CLOCK_TOLERANCE_S and _is_alive(pid):
                found.append(process)
    return found


def _is_alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _named_numbers(
    instance: dg.DagsterInstance, run_id: str, kind: dg.DagsterEventType
) -> list[tuple[int, float]]:
    """(process number, time stamp) of the events of this kind that name one, oldest first."""
    numbers = []
    for record in instance.get_records_for_run(run_id, of_type=kind).records:
        event = record.event_log_entry.dagster_event
        metadata = getattr(event.event_specific_data, "metadata", {}) if event else {}
        value = metadata.get("pid")
        if value is not None and str(value.value).isdigit():
            numbers.append((int(value.value), record.event_log_entry.timestamp))
    return numbers
