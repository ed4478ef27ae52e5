""" "Materialize all" as Dagster's daemon runs it, over shards and variants: the real graph with
assets that do nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow
VARIANTS = (
    "ablations.variants={all: {study: quality_quantity, data: augmented, curated: false, "
    "size: [4, 8]}, fs: {study: baselines, method: few_shot}}"
)
GRAPH = """
import dagster as dg
from humpback_pipeline.definitions import defs as real

graph = real.resolve_asset_graph()
made = graph.materializable_asset_keys


def doing_nothing(key):
    node = graph.get(key)
    mappings = node.partition_mappings

    @dg.asset(
        key=key,
        deps=[
            dg.AssetDep(p, partition_mapping=mappings[p]) if p in mappings else dg.AssetDep(p)
            for p in node.parent_keys & made
        ],
        partitions_def=node.partitions_def,
        backfill_policy=node.backfill_policy,
    )
    def nothing() -> None: ...

    return nothing


defs = dg.Definitions(
    assets=[doing_nothing(key) for key in sorted(made)], executor=dg.in_process_executor
)
"""
DAEMON = """
import json, logging, sys, time
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.test_utils import (
    InProcessTestWorkspaceLoadTarget,
    create_test_daemon_workspace_context,
    instance_for_test,
)
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.backfill import execute_backfill_iteration

here = {
    "run_launcher": {
        "module": "dagster._core.launcher.sync_in_memory_run_launcher",
        "class": "SyncInMemoryRunLauncher",
    },
    "run_coordinator": {
        "module": "dagster._core.run_coordinator", "class": "DefaultRunCoordinator"
    },
}
place = LoadableTargetOrigin(python_file=sys.argv[1], attribute="defs")
target = InProcessTestWorkspaceLoadTarget(InProcessCodeLocationOrigin(place, location_name="here"))
with instance_for_test(overrides=here) as instance:
    instance.add_dynamic_partitions("warc_shards", ["a", "b"])
    with create_test_daemon_workspace_context(target, instance) as context:
        graph = context.create_request_context().asset_graph
        instance.add_backfill(
            PartitionBackfill.from_asset_partitions(
                backfill_id="everything",
                asset_graph=graph,
                partition_names=["a", "b"],
                asset_selection=list(graph.materializable_asset_keys),
                backfill_timestamp=time.time(),
                tags={},
                dynamic_partitions_store=instance,
                all_partitions=False,
                title=None,
                description=None,
                run_config=None,
            )
        )
        for _ in range(30):
            list(execute_backfill_iteration(context, logging.getLogger("daemon")))
            state = instance.get_backfill("everything")
            if state.status != BulkActionStatus.REQUESTED:
                break
        runs = [
            {
                "status": run.status.value,
                "assets": sorted(key.to_user_string() for key in run.asset_selection),
                "range": [
                    run.tags.get(f"dagster/asset_partition_range_{end}") for end in ("start", "end")
                ],
            }
            for run in reversed(instance.get_runs())
        ]
        names = [key.to_user_string() for key in graph.materializable_asset_keys]
print(json.dumps({"status": state.status.value, "runs": runs, "names": names}))
"""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    path: Path = tmp_path_factory.mktemp("backfill") / "doing_nothing.py"
    path.write_text(GRAPH)
    result = subprocess.run(
        [sys.executable, "-c", DAEMON, str(path)],
        env={**os.environ, "HUMPBACK_RECIPE": "demo", "HUMPBACK_SET": VARIANTS},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return dict(json.loads(result.stdout.splitlines()[-1]))


def test_everything_is_made_once_in_a_handful_of_runs(done: dict[str, Any]) -> None:
    assert done["status"] == "COMPLETED_SUCCESS"
    assert {run["status"] for run in done["runs"]} == {"SUCCESS"}
    made = [name for run in done["runs"] for name in run["assets"]]
    assert sorted(made) == sorted(done["names"])
    assert len(done["runs"]) <= 12


def test_variants_are_one_range_and_wait_for_what_they_read(done: dict[str, Any]) -> None:
    order = {name: n for n, run in enumerate(done["runs"]) for name in run["assets"]}
    for name in ("ablation_model", "ablation_win_rate"):
        (run,) = [run for run in done["runs"] if name in run["assets"]]
        assert (run["assets"], run["range"]) == ([name], ["all-4", "fs"])
    assert order["seed_pairs"] < order["ablation_model"]
    assert order["augmented_set"] < order["ablation_model"] < order["ablation_win_rate"]
    assert order["win_rates"] < order["ablation_win_rate"] < order["scaling"]
