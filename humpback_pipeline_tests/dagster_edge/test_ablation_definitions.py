"""Two kinds of partitions in one graph: jobs, sensors and "Materialize all" go on working."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from humpback_pipeline.commands.run import job_variants
from humpback_pipeline.recipe import load_recipe

ABLATIONS = {"ablation_model", "ablation_win_rate", "scaling"}
VARIANTS = ["all-4", "all-8", "fs", "best"]
LIST = (
    "ablations.variants={all: {study: quality_quantity, data: augmented, curated: false, "
    "size: [4, 8]}, fs: {study: baselines, method: few_shot}, best: {study: scorers, "
    "scorer: expected, pick: best, size: 8}}"
)
SCRIPT = """
import json, time
import dagster as dg
from dagster._core.execution.asset_backfill import AssetBackfillData
from humpback_pipeline.definitions import defs

graph = defs.resolve_asset_graph()
names = sorted(key.to_user_string() for key in graph.materializable_asset_keys)
jobs = {
    job.name: [
        sorted(key.to_user_string() for key in job.asset_layer.selected_asset_keys),
        type(job.partitions_def).__name__ if job.partitions_def else None,
    ]
    for job in defs.resolve_all_job_defs()
}
with dg.DagsterInstance.ephemeral() as instance:
    instance.add_dynamic_partitions("warc_shards", ["a", "b"])
    # What the UI sends: the partitions of the asset at the beginning, or all of everything.
    targets = {}
    for how, chosen in (("all", None), ("anchor", ["a", "b"])):
        data = AssetBackfillData.from_asset_partitions(
            asset_graph=graph,
            partition_names=chosen,
            asset_selection=list(graph.materializable_asset_keys),
            dynamic_partitions_store=instance,
            backfill_start_timestamp=time.time(),
            all_partitions=chosen is None,
        )
        target = data.target_subset
        targets[how] = {
            "partitioned": {
                key.to_user_string(): sorted(subset.get_partition_keys())
                for key, subset in target.partitions_subsets_by_asset_key.items()
            },
            "others": len(target.non_partitioned_asset_keys),
        }
parents = {
    name: sorted(key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys)
    for name in names
    if graph.get(dg.AssetKey(name)).group_name == "ablations"
}
print(json.dumps({"names": names, "jobs": jobs, "targets": targets, "parents": parents}))
"""


@pytest.fixture(scope="module")
def graph() -> dict[str, Any]:
    """The graph of a recipe with ablations, as its own process loads it."""
    environment = {**os.environ, "HUMPBACK_RECIPE": "demo", "HUMPBACK_SET": LIST}
    result = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-3000:]
    return dict(json.loads(result.stdout.splitlines()[-1]))


def benchmarks(graph: dict[str, Any]) -> set[str]:
    """The assets of the job `benchmarks`, which the recipe may not ask for."""
    return set(graph["jobs"].get("benchmarks", [[]])[0])


def test_ablations_are_there_because_the_recipe_declares_them(graph: dict[str, Any]) -> None:
    assert set(graph["names"]) >= ABLATIONS
    assert set(graph["parents"]) == ABLATIONS


def test_main_job_and_what_follows_the_seeds_leave_ablations_out(graph: dict[str, Any]) -> None:
    for name in ("humpback", "after_seed_change"):
        assets, partitions = graph["jobs"][name]
        assert not (ABLATIONS | benchmarks(graph)) & set(assets)
        assert partitions == "DynamicPartitionsDefinition"
    everything = set(graph["names"]) - ABLATIONS - benchmarks(graph)
    assert everything <= set(graph["jobs"]["humpback"][0])


def test_ablations_have_a_job_over_the_variants(graph: dict[str, Any]) -> None:
    assets, partitions = graph["jobs"]["ablations"]
    assert set(assets) == ABLATIONS
    assert partitions == "StaticPartitionsDefinition"


@pytest.mark.parametrize("how", ["all", "anchor"])
def test_materialize_all_in_the_ui_targets_every_shard_and_every_variant(
    graph: dict[str, Any], how: str
) -> None:
    partitioned = graph["targets"][how]["partitioned"]
    for name in ("ablation_model", "ablation_win_rate"):
        assert partitioned.pop(name) == sorted(VARIANTS)
    assert set(map(tuple, partitioned.values())) == {("a", "b")}
    assert graph["targets"][how]["others"] + len(partitioned) + 2 == len(graph["names"])


def test_variants_depend_on_what_they_read_and_on_pairs_so_that_shards_come_first(
    graph: dict[str, Any],
) -> None:
    assert set(graph["parents"]["ablation_model"]) == {
        "seed_pairs",
        "augmented_set",
        *("curation_scores_2", "rater_calibration_2", "m1", "backward_model"),
    }
    assert graph["parents"]["ablation_win_rate"] == ["ablation_model", "win_rates"]
    assert graph["parents"]["scaling"] == ["ablation_win_rate"]


def test_command_runs_over_the_variants_or_says_that_there_are_none() -> None:
    name, _, value = LIST.partition("=")
    recipe = load_recipe("demo", {name: value})
    assert job_variants("ablations", recipe) == VARIANTS
    assert job_variants("humpback", recipe) == []
    with pytest.raises(ValueError, match="declares no ablations"):
        job_variants("ablations", load_recipe("demo"))
