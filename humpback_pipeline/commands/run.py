"""`run`: preflight, register the shards, one Dagster run, progress on the terminal, a summary."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from pathlib import Path

import dagster as dg

from humpback_pipeline.automation.partitions import WARC_SHARDS, register_shards
from humpback_pipeline.automation.sensors import range_tags
from humpback_pipeline.commands.homes import bind_homes
from humpback_pipeline.commands.watch import RunWatcher
from humpback_pipeline.preflight import check_before_work
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.seeds import seed_content_hash
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.report import report_path
from humpback_pipeline.stages.summary import print_lines

LAUNCH_TAG = "humpback/launch"
POLL_S = 1.0


def preflight() -> Workspace:
    """Check everything the recipe names; print a line for each check. Raises what is wrong."""
    workspace = Workspace(load_recipe())
    print(f"Recipe {workspace.recipe.name} ({workspace.recipe.content_hash()})")
    for line in check_before_work(workspace):
        print(f"  ok  {line}", flush=True)
    return workspace


def run_all(job: str) -> int:
    """Run `job` over all shards in one Dagster run; return 0 if it ended well."""
    started_s = time.monotonic()
    bind_homes()
    workspace = preflight()
    shards = list(workspace.shards())
    with dg.DagsterInstance.get() as instance:
        added, removed = register_shards(instance, shards)
        print(f"Partitions: {len(shards)} shards ({len(added)} new)")
        for key in removed:
            print(f"  {key}: not in {workspace.recipe.corpus.warc_dir}, partition unregistered")
        _observe_seed_data(instance, workspace)
        registered = list(instance.get_dynamic_partitions(WARC_SHARDS))
        ok = _execute(instance, job, registered, workspace.home / "logs")
    if not ok:
        return 1
    print(f"\nDone in {(time.monotonic() - started_s) / 60:.1f} minutes.\n")
    print_summary()
    return 0


def print_summary() -> None:
    """Print rows, losses, ratings, selection quality and where the report is."""
    workspace = Workspace(load_recipe())
    for line in print_lines(workspace, list(workspace.shards()), str(report_path(workspace))):
        print(line)
    print("Next: make ui   (assets, lineage and metadata in the browser)")


def _observe_seed_data(instance: dg.DagsterInstance, workspace: Workspace) -> None:
    """Record which seed data the run is about to read, so that lineage begins with a version."""
    path = workspace.recipe.seed.path
    version = {"dagster/data_version": seed_content_hash(path)}
    observation = dg.AssetObservation("seed_data", tags=version, metadata={"path": str(path)})
    instance.report_runless_asset_event(observation)


def _execute(instance: dg.DagsterInstance, job: str, shards: list[str], log_dir: Path) -> bool:
    launch = uuid.uuid4().hex[:12]
    log_dir.mkdir(parents=True, exist_ok=True)
    log = log_dir / f"{time.strftime('%Y%m%dT%H%M%S')}-{launch}.log"
    tags = {**range_tags(shards), LAUNCH_TAG: launch}
    command = [sys.executable, "-m", "dagster", "job", "execute"]
    command += ["-m", "humpback_pipeline.definitions", "-j", job, "--tags", json.dumps(tags)]
    print(f"One Dagster run of job {job!r}; its full output: {log}", flush=True)
    watcher = RunWatcher(instance, LAUNCH_TAG, launch)
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
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
