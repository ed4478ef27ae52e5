"""The augmentation's assets: the graph with a backward model for each iteration, and the pages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from projects import SMALL_SHARDS, make_project

from humpback_pipeline.assets.augmentation import build_augmentation
from humpback_pipeline.assets.corpus import CORPUS_ASSETS
from humpback_pipeline.assets.seed import SEED_ASSETS
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.automation.sensors import range_tags
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_file import RecipeError
from humpback_pipeline.resources import build_workspace

SCRIPT = """
import json
from humpback_pipeline.definitions import defs
graph = defs.resolve_asset_graph()
print(json.dumps({
    key.to_user_string(): [
        graph.get(key).group_name,
        sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
        graph.get(key).partitions_def is not None,
    ]
    for key in graph.toposorted_asset_keys if graph.get(key).is_materializable
}))
defs.resolve_all_job_defs()
"""


def graph(settings: str) -> dict[str, tuple[str, list[str], bool]]:
    output = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "HUMPBACK_SET": settings},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return {name: tuple(facts) for name, facts in json.loads(output).items()}


def test_retraining_gives_each_iteration_its_model_and_pairs_without_a_cycle() -> None:
    found = graph("curation.iterations=3 augmentation.retrain_backward_model=true")
    for t in (2, 3):
        model = (f"iteration_{t}", sorted([f"curated_set_{t - 1}", "seed_pairs"]), False)
        parents = [f"backward_model_{t}", "clueweb_segments", "corpus_selection"]
        assert found[f"backward_model_{t}"] == model
        assert found[f"augmented_set_{t}"] == (f"iteration_{t}", parents, True)
        rated = set(found[f"curation_scores_{t}"][1])
        assert {f"augmented_set_{t}", f"m{t - 1}"} <= rated
        assert "augmented_set" not in rated
    assert "augmented_set" in found["curation_scores_1"][1]
    assert {"augmented_set", "augmented_set_2", "augmented_set_3"} <= set(
        found["data_statistics"][1]
    )
    # A parent stands before its children: the graph has an order, so no cycle.
    order = {name: number for number, name in enumerate(found)}
    for name, (_, parents, _) in found.items():
        assert all(order.get(parent, -1) < order[name] for parent in parents)


def test_retraining_cannot_be_switched_on_for_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("HUMPBACK_")]:
        monkeypatch.delenv(name)
    kind = type(build_workspace(load_recipe("demo")))
    with pytest.raises(RecipeError, match="shapes the graph"):
        kind(overrides={"augmentation.retrain_backward_model": "true"}).changes()
    monkeypatch.setenv("HUMPBACK_SET", "augmentation.retrain_backward_model=true")
    with pytest.raises(RecipeError, match="this graph was built for False"):
        kind().open()


@pytest.fixture(scope="module")
def metadata(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Asset → metadata after one run up to the augmented set, three candidates a segment."""
    project = make_project(
        tmp_path_factory.mktemp("augmentation") / "project",
        shards={"garden.warc.gz": SMALL_SHARDS["garden.warc.gz"]},
        recipe={
            "augmentation.candidates": 3,
            "augmentation.sampling.max_new_tokens": 16,
            "training.steps": 5,
            "corpus.sample_segments": 3,
        },
    )
    with pytest.MonkeyPatch.context() as patch:
        for name in ("HUMPBACK_RECIPE", "HUMPBACK_HOME"):
            patch.setenv(name, project.environment[name])
        recipe = load_recipe(project.recipe)
        definitions = dg.Definitions(
            assets=[*SEED_ASSETS, *CORPUS_ASSETS, *build_augmentation(recipe)],
            jobs=[dg.define_asset_job("job", dg.AssetSelection.all())],
            resources={"workspace": build_workspace(recipe)},
            executor=dg.in_process_executor,
        )
        with dg.DagsterInstance.ephemeral() as instance:
            instance.add_dynamic_partitions(WARC_SHARDS, ["garden"])
            result = definitions.resolve_job_def("job").execute_in_process(
                instance=instance, tags=range_tags(["garden"]), raise_on_error=False
            )
    events = result.get_asset_materialization_events()
    return {
        event.asset_key.to_user_string(): {
            name: value.value for name, value in event.materialization.metadata.items()
        }
        for event in events
        if event.asset_key is not None
    }


def test_page_of_the_pairs_shows_what_was_dropped_and_why(
    metadata: dict[str, dict[str, Any]],
) -> None:
    page = metadata["augmented_set"]
    # A model of five steps does not know when to stop.
    assert r"cut\_instruction" in page["candidates_dropped"]
    assert r"cut\_instruction" in page["drop_samples"]
    assert page["candidates_dropped_in_all_shards"] == page["candidates_dropped"]
    assert page["dropped_in_all_shards"] == page["dropped"]
    assert page["pairs_in_all_shards"] == page["dagster/row_count"]
    assert Path(page["all_dropped_instructions"]).is_dir()
    assert "prompts_cut" in page


def test_page_of_the_backward_model_shows_the_likelihood_it_gained(
    metadata: dict[str, dict[str, Any]],
) -> None:
    page = metadata["backward_model"]
    table = page["held_out_instruction_likelihood"]
    assert "base" in table
    assert "backward" in table
    gained = page["held_out_loss_before"] - page["held_out_loss_after"]
    assert page["held_out_instruction_gain"] == pytest.approx(gained, abs=2e-4)
    assert page["held_out_instruction_logprob"] == -page["held_out_loss_after"]
