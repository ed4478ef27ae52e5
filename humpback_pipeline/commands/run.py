"""`run`: preflight, partitions registered, one Dagster run, its progress as it goes, a summary."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

import dagster as dg
import psutil
from filelock import FileLock, Timeout

from humpback_pipeline.automation.jobs import ABLATIONS_JOB, ALL_JOB
from humpback_pipeline.automation.observation import report_seed_data
from humpback_pipeline.automation.partitions import WARC_SHARDS, register_shards
from humpback_pipeline.automation.tags import PROCESS_TAG, range_tags
from humpback_pipeline.automation.worker import bury, bury_dead_runs
from humpback_pipeline.commands.homes import bind_homes
from humpback_pipeline.commands.watch import RunWatcher
from humpback_pipeline.generation.process import die_with_parent
from humpback_pipeline.preflight import check_before_work
from humpback_pipeline.recipe import Recipe, load_recipe
from humpback_pipeline.recipe_ablations import check_ablations
from humpback_pipeline.recipe_file import ENVIRONMENT_FIELDS
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.report import report_path
from humpback_pipeline.stages.summary import print_lines, selected_shards
from humpback_pipeline.stages.warc_files import openable_shards, removed_shards
from humpback_pipeline.stages.workspace import RUN_LOCK

LAUNCH_TAG = "humpback/launch"
MAX_RETRIES_TAG = "dagster/max_retries"
POLL_S = 1.0


def preflight() -> Workspace:
    """Check everything the recipe names; print a line for each check. Raises what is wrong."""
    workspace = Workspace(load_recipe())
    print(f"Recipe {workspace.recipe.name} ({workspace.recipe.content_hash()})")
    for line in check_before_work(workspace):
        print(f"  ok  {line}", flush=True)
    return workspace


def run_all(job: str) -> int:
    """Run `job` over all its partitions in one Dagster run; return 0 if it ended well."""
    started_s = time.monotonic()
    home = bind_homes()
    home.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(home / RUN_LOCK, timeout=1.0):
            return _run_locked(job, started_s)
    except Timeout as error:
        raise RuntimeError(
            f"another run is at work in {home}; wait for it, or give this one a HUMPBACK_HOME of "
            "its own."
        ) from error


def _run_locked(job: str, started_s: float) -> int:
    workspace = preflight()
    variants = job_variants(job, workspace.recipe)
    shards, refused = openable_shards(workspace)
    with dg.DagsterInstance.get() as instance:
        _bury_dead_runs(instance)
        gone = removed_shards(workspace, instance.get_dynamic_partitions(WARC_SHARDS))
        added, removed = register_shards(instance, shards, keep=gone)
        print(f"Partitions: {len(shards)} shards ({len(added)} new)")
        for key, why in refused.items():
            print(f"  {key}: left out of this run: {why}")
        for key in removed:
            if key not in refused:
                print(f"  {key}: of another corpus folder, partition unregistered")
        for key in gone:
            print(
                f"  {key}: its file is gone from {workspace.recipe.corpus.warc_dir}; kept as it is"
            )
        _observe_seed_data(instance, workspace)
        registered = list(instance.get_dynamic_partitions(WARC_SHARDS))
        if variants:
            print(f"Ablations: {len(variants)} variants")
        ok = _execute(instance, job, variants or registered, workspace.home / "logs")
    if not ok:
        return 1
    print(f"\nDone in {(time.monotonic() - started_s) / 60:.1f} minutes.\n")
    if job == ALL_JOB:
        print_summary()
    return 0


def job_variants(job: str, recipe: Recipe) -> list[str]:
    """The partitions of the job `ablations`; none of the others, whose partitions are shards.

    Raises ValueError where the recipe declares no variant, so that there is no such job.
    """
    if job != ABLATIONS_JOB:
        return []
    if variants := list(check_ablations(recipe)):
        return variants
    raise ValueError(
        f"recipe {recipe.name!r} declares no ablations: give it ablations.variants "
        "(docs/evaluation-ablations.md has a list to begin with)."
    )


def print_summary() -> None:
    """Print rows, losses, ratings, selection quality and where the report is."""
    workspace = Workspace(load_recipe())
    shards = selected_shards(workspace)
    for line in print_lines(workspace, shards, str(report_path(workspace))):
        print(line)
    recipe = os.environ.get("HUMPBACK_RECIPE") or "demo"
    command = "make ui" if recipe == "demo" else f"make ui RECIPE={recipe}"
    print(f"Next: {command}   (assets, lineage and metadata in the browser)")
    overrides = sorted(n for n in os.environ if n in ENVIRONMENT_FIELDS or n == "HUMPBACK_SET")
    if kept := [name for name in overrides if name != "HUMPBACK_HOME" and os.environ[name]]:
        print(f"      with the same {', '.join(kept)}, so that it shows this data")


def _bury_dead_runs(instance: dg.DagsterInstance) -> None:
    """Mark runs failed whose process was killed, and free the slots they hold in the pools."""
    dead = bury_dead_runs(instance)
    # A run whose command was killed ends with it, even before it has a worker to look for.
    unfinished = dg.RunsFilter(statuses=[dg.DagsterRunStatus.NOT_STARTED])
    for run in instance.get_runs(unfinished):
        process = run.tags.get(PROCESS_TAG, "")
        if process.isdigit() and not psutil.pid_exists(int(process)):
            bury(instance, run, "The command of this run was killed.")
            dead.append(run)
    for run in dead:
        print(f"  run {run.run_id[:8]} was killed: marked failed, its slots are free again")


def _observe_seed_data(instance: dg.DagsterInstance, workspace: Workspace) -> None:
    """Record which seed data the run is about to read, so that lineage begins with a version."""
    while report_seed_data(instance, workspace) is None:
        print("  the seed data are being written to; waiting", flush=True)
        time.sleep(POLL_S)


def _execute(instance: dg.DagsterInstance, job: str, partitions: list[str], log_dir: Path) -> bool:
    launch = uuid.uuid4().hex[:12]
    log_dir.mkdir(parents=True, exist_ok=True)
    log = log_dir / f"{time.strftime('%Y%m%dT%H%M%S')}-{launch}.log"
    tags = {
        **range_tags(partitions),
        LAUNCH_TAG: launch,
        PROCESS_TAG: str(os.getpid()),
        # Who stops a command does not want a daemon to go on with its work.
        MAX_RETRIES_TAG: "0",
    }
    command = [sys.executable, "-m", "dagster", "job", "execute"]
    command += ["-m", "humpback_pipeline.definitions", "-j", job, "--tags", json.dumps(tags)]
    print(f"One Dagster run of job {job!r}; its full output: {log}", flush=True)
    watcher = RunWatcher(instance, LAUNCH_TAG, launch)
    with log.open("w", encoding="utf-8") as output:
        # The run must not go on unwatched: it ends with this process, however that ends.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        process = subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, preexec_fn=die_with_parent
        )
        try:
            while process.poll() is None:
                watcher.print_new()
                time.sleep(POLL_S)
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
    watcher.print_new()
    if process.returncode == 0 and watcher.succeeded():
        return True
    print(f"\nThe run failed; the last lines of {log}:", file=sys.stderr)
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-15:]
    if not watcher.failures:
        print("\n".join(tail), file=sys.stderr)
    for failure in watcher.failures:
        print(f"  {failure}", file=sys.stderr)
    print("What was done stays: in `make ui`, open the run and re-execute from failure.")
    return False
