"""The code location: the graph of the design, its policies, and how fast it loads."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import dagster as dg
import pytest

from humpback_pipeline.assets.checks import CHECKS
from humpback_pipeline.definitions import defs
from humpback_pipeline.stages.code_versions import code_version

GRAPH = {
    "seed_pairs": {"seed_data"},
    "clueweb_segments": set(),
    "corpus_selection": {"clueweb_segments"},
    "backward_model": {"seed_pairs"},
    "augmented_set": {"clueweb_segments", "corpus_selection", "backward_model"},
    "m0": {"seed_pairs"},
    "rater_calibration_1": {"m0", "backward_model", "seed_pairs"},
    "curation_scores_1": {"augmented_set", "m0", "rater_calibration_1", "backward_model"},
    "curated_set_1": {"curation_scores_1", "rater_calibration_1"},
    "m1": {"seed_pairs", "curated_set_1"},
    "rater_calibration_2": {"m1", "backward_model", "seed_pairs"},
    "curation_scores_2": {"augmented_set", "m1", "rater_calibration_2", "backward_model"},
    "curated_set_2": {"curation_scores_2", "rater_calibration_2", "curated_set_1"},
    "m2": {"seed_pairs", "curated_set_2"},
    "m0_responses": {"m0"},
    "m1_responses": {"m1"},
    "m2_responses": {"m2"},
    "base_responses": set(),
    "win_rates": {
        *("base_responses", "m0_responses", "m1_responses", "m2_responses"),
        "contamination",
    },
    "selection_quality": {"rater_calibration_1", "rater_calibration_2", "backward_model"},
    "data_statistics": {"seed_pairs", "augmented_set", "curated_set_1", "curated_set_2"},
    "contamination": {"seed_pairs", "curated_set_1", "curated_set_2"},
    "exports": {"seed_pairs", "curated_set_1", "curated_set_2"},
    "model_cards": {"m0", "m1", "m2", "win_rates"},
    "instruction_diversity": {"seed_pairs", "augmented_set", "curated_set_2"},
    "length_histograms": {
        *("seed_pairs", "augmented_set", "curated_set_1", "curated_set_2", "base_responses"),
        *("m0_responses", "m1_responses", "m2_responses"),
    },
    "head_to_head": {"m0_responses", "m1_responses", "m2_responses"},
    "improvement_over_seed": {"win_rates"},
    "human_evaluation_pairs": {
        *("base_responses", "m0_responses", "m1_responses", "m2_responses"),
    },
    "human_evaluation": {"human_evaluation_pairs", "win_rates", "head_to_head"},
    "data_bias": {"seed_pairs", "augmented_set", "curated_set_1", "curated_set_2"},
    "benchmark_results": {"m0", "m1", "m2"},
    "safety_responses": {"m0", "m1", "m2"},
    "safety": {"safety_responses"},
}
PARTITIONED = {"clueweb_segments", "augmented_set", "curation_scores_1", "curation_scores_2"}
GPU = {
    *("backward_model", "augmented_set", "m0", "m1", "m2", "curation_scores_1"),
    *("curation_scores_2", "m0_responses", "m1_responses", "m2_responses", "win_rates"),
    "base_responses",
    *("head_to_head", "selection_quality", "rater_calibration_1", "rater_calibration_2"),
    *("benchmark_results", "safety_responses", "safety"),
}


@pytest.fixture(scope="module")
def graph() -> dg.AssetGraph:
    return defs.resolve_asset_graph()


def materializable(graph: dg.AssetGraph) -> dict[str, dg.AssetKey]:
    return {key.to_user_string(): key for key in graph.materializable_asset_keys}


def test_assets_and_edges_are_those_of_the_design(graph: dg.AssetGraph) -> None:
    edges = {
        name: {parent.to_user_string() for parent in graph.get(key).parent_keys}
        for name, key in materializable(graph).items()
    }
    report_parents = edges.pop("report")
    assert edges == GRAPH
    assert {"win_rates", "selection_quality", "m2", "data_statistics"} <= report_parents
    assert graph.get(dg.AssetKey("seed_data")).is_observable


def test_ratings_of_each_iteration_are_partitioned_by_shard(graph: dg.AssetGraph) -> None:
    partitioned = {
        name: graph.get(key).partitions_def
        for name, key in materializable(graph).items()
        if graph.get(key).partitions_def
    }
    assert set(partitioned) == PARTITIONED
    assert {definition.name for definition in partitioned.values()} == {"warc_shards"}


def test_every_asset_can_take_part_in_one_run_over_a_range(graph: dg.AssetGraph) -> None:
    policies = {graph.get(key).backfill_policy for key in materializable(graph).values()}
    assert policies == {dg.BackfillPolicy.single_run()}


def test_gpu_work_shares_one_pool(graph: dg.AssetGraph) -> None:
    pooled = {
        name for name, key in materializable(graph).items() if graph.get(key).pools == {"gpu"}
    }
    assert pooled == GPU


def test_every_asset_has_group_owner_kind_and_a_description_that_explains(
    graph: dg.AssetGraph,
) -> None:
    for name, key in materializable(graph).items():
        node = graph.get(key)
        assert node.group_name != "default", name
        assert node.owners, name
        assert node.kinds, name
        assert len(node.description or "") > 60, name


def test_every_asset_says_which_version_of_its_code_made_it(graph: dg.AssetGraph) -> None:
    for name, key in materializable(graph).items():
        assert graph.get(key).code_version == code_version(name), name


def test_everything_that_is_made_is_checked_in_its_own_step(graph: dg.AssetGraph) -> None:
    checked = {key.asset_key.to_user_string() for key in graph.asset_check_keys}
    assert materializable(graph).keys() - {"report"} <= checked
    own = [key for key in graph.asset_check_keys if key.name in CHECKS]
    assert len(own) > 50
    for key in own:
        assert graph.get_execution_set_asset_and_check_keys(key) >= {key.asset_key, key}


def test_jobs_cover_everything_and_each_iteration() -> None:
    names = {job.name for job in defs.resolve_all_job_defs()}
    assert {"humpback", "iteration_0", "iteration_1", "iteration_2"} <= names


def test_number_of_iterations_follows_the_recipe() -> None:
    script = (
        "from humpback_pipeline.definitions import defs\n"
        "keys = defs.resolve_asset_graph().materializable_asset_keys\n"
        "print(sorted(key.to_user_string() for key in keys if 'curated' in key.path[0]))"
    )
    environment = {**os.environ, "HUMPBACK_SET": "curation.iterations=3"}
    output = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "['curated_set_1', 'curated_set_2', 'curated_set_3']"


def test_code_location_loads_in_seconds_and_without_heavy_modules() -> None:
    script = (
        "import sys, humpback_pipeline.definitions\n"
        "heavy = {'torch', 'transformers', 'vllm', 'peft', 'trl', 'datasets', 'spacy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    start = time.monotonic()
    output = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert output.strip() == "[]"
    assert time.monotonic() - start < 15  # a hang guard; benchmarks/ holds the real figure


def test_faulty_recipe_stops_the_location_with_file_and_field(tmp_path) -> None:
    path = tmp_path / "typo.yaml"
    path.write_text("name: typo\nbase_modell: x\n")
    result = subprocess.run(
        [sys.executable, "-c", "import humpback_pipeline.definitions"],
        env={**os.environ, "HUMPBACK_RECIPE": str(path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0
    assert f"{path}:2: base_modell: unknown field; did you mean 'base_model'?" in result.stderr


def test_a_busy_gpu_is_asked_for_every_second_however_long_it_takes() -> None:
    from dagster._core.execution.plan import instance_concurrency_context

    import humpback_pipeline.automation.executor  # noqa: F401 - it sets the interval

    waited_long = instance_concurrency_context._calculate_timeout_interval(None, 100)
    assert waited_long == 1
