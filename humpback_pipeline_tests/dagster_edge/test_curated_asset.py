"""The curated sets in real runs: what their pages show, and what stops a training."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from curated_home import SHARD, CuratedHome

from humpback_pipeline.assets.curated_set import curated_asset
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.resources import build_workspace

FIRST = [5.0, 4.8, 4.6, 4.4, 4.2, 4.1, 1.9, 1.8, 1.7, 1.6]
SECOND = [5.0, 4.8, 4.6, 4.4, 1.0, 4.0, 4.3, 1.8, 1.7, 1.6]
LABELLED = [5.0, 4.5, 4.0, 3.5, 2.0, 2.0, 4.2, 2.0]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CuratedHome:
    selection = "{min_rating: 3.0, near_duplicate_threshold: null}"
    fields = {"curation__selection": selection, "curation__stop": "{min_jaccard: 0.7}"}
    home = CuratedHome(tmp_path, fields)
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(home.workspace.recipe.model_dump(mode="json")))
    monkeypatch.setenv("HUMPBACK_RECIPE", str(recipe))
    return home


def run(
    home: CuratedHome, *iterations: int
) -> tuple[dg.ExecuteInProcessResult, dg.DagsterInstance]:
    instance = dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions(WARC_SHARDS, [SHARD])

    @dg.asset(deps=[f"curated_set_{iterations[-1]}"])
    def trained() -> None:
        """Stands where the training stands."""

    definitions = dg.Definitions(
        assets=[*(curated_asset(iteration) for iteration in iterations), trained],
        jobs=[dg.define_asset_job("job")],
        resources={"workspace": build_workspace(home.workspace.recipe)},
        executor=dg.in_process_executor,
    )
    job = definitions.resolve_job_def("job")
    return job.execute_in_process(instance=instance, raise_on_error=False), instance


def page(result: dg.ExecuteInProcessResult, name: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(name)
    return {key: value.value for key, value in event.metadata.items()}


def verdicts(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], bool]:
    return {
        (found.asset_key.to_user_string(), found.check_name): found.passed
        for found in result.get_asset_check_evaluations()
    }


def test_pages_show_the_rater_the_change_and_when_to_stop(home: CuratedHome) -> None:
    home.rate(1, FIRST, LABELLED)
    home.rate(2, SECOND, LABELLED)
    result, instance = run(home, 1, 2)
    assert result.success
    first, second = page(result, "curated_set_1"), page(result, "curated_set_2")
    # Two labelled pairs of those at 4.1 or above are good, one is not.
    assert first["labelled_precision"] == pytest.approx(2 / 3, abs=0.001)
    assert first["labelled_kept"] == "3 of 8"
    assert "jaccard" not in first
    assert "stopped" not in first
    assert second["jaccard"] == pytest.approx(5 / 7)
    assert "stopped at iteration 2 because A^(2) overlaps" in second["stopped"]
    assert "curated_set_1 is carried on" in second["stopped"]
    assert "Ask about foxes." in second["gained_samples"]
    assert "Ask about glaciers." in second["lost_samples"]
    assert second["iterations"].count("\n") == 3
    assert second["iterations_large"].startswith("![measures over the iterations](data:image/png")
    warnings = [
        entry.user_message
        for entry in instance.all_logs(result.run_id)
        if int(entry.level) >= logging.WARNING and "stopped at iteration" in entry.user_message
    ]
    assert warnings == []
    assert verdicts(result)["curated_set_2", "curated_set_usable"]


def test_too_few_pairs_stop_what_would_be_trained_on_them(home: CuratedHome) -> None:
    home.rate(1, [5.0, 4.8, 4.6, *[1.5] * 7], LABELLED)
    result, _ = run(home, 1)
    assert not result.success
    assert verdicts(result)["curated_set_1", "curated_set_usable"] is False
    assert result.asset_materializations_for_node("curated_set_1")
    assert not result.asset_materializations_for_node("trained")
    (outcome,) = [
        found
        for found in result.get_asset_check_evaluations()
        if found.check_name == "curated_set_usable"
    ]
    assert "Only 3 of 10 pairs were kept" in str(outcome.description)
    assert "| 4.5 to 5.0 | 3 | 3 |" in str(outcome.metadata["histogram"].value)
