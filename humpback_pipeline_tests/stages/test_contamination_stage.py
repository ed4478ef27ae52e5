"""Seeds and curated sets against the evaluation prompts: what stops, what is dropped, what is
only reported."""

from __future__ import annotations

import json
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
import yaml
from curated_home import CuratedHome

from humpback_pipeline.assets.contamination import contamination_asset
from humpback_pipeline.assets.seed import SEED_ASSETS
from humpback_pipeline.recipe import Recipe, load_recipe
from humpback_pipeline.resources import build_workspace
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.checks import (
    check_evaluation_uncontaminated,
    check_seeds_not_in_evaluation,
)
from humpback_pipeline.stages.contamination import write_contamination
from humpback_pipeline.stages.seed import write_seed_pairs

LEAK = "Explain to a friend who has never sailed before why the wind can push a boat against it"
REFERENCE = "A sail works like a wing: the wind bends around it and the boat is pulled ahead."
PROMPTS = [
    {"prompt_id": "sailing", "instruction": f"{LEAK}.", "output": REFERENCE},
    {"prompt_id": "bread", "instruction": "Why does bread rise in the oven?", "output": "Steam."},
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    seeds = [
        {"instruction": f"Say something about {topic}.", "output": f"There is much on {topic}."}
        for topic in ("tides", "apples", "violins", "glaciers", "comets", "foxes", "tea", "taps")
    ]
    leaks = [
        {"instruction": f"{LEAK.upper()}!", "output": "It is the keel."},
        {"instruction": "What about sails?", "output": f"Well. {REFERENCE} That is all."},
    ]
    for name, rows in (("seeds", [*seeds, *leaks]), ("clean", seeds), ("prompts", PROMPTS)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def opened(folder: Path, **fields: str) -> Workspace:
    places = {
        "home": str(folder / "home"),
        "seed.path": str(folder / "seeds.jsonl"),
        "evaluation.prompts": str(folder / "prompts.jsonl"),
    }
    return Workspace(
        load_recipe("demo", places | {k.replace("__", "."): v for k, v in fields.items()})
    )


def test_short_reference_is_met_by_chance_and_no_contamination(folder: Path) -> None:
    workspace = opened(folder, seed__path=str(folder / "clean.jsonl"))
    seeds = folder / "clean.jsonl"
    steam = {"instruction": "What drives this engine?", "output": "steam"}
    seeds.write_text(seeds.read_text() + json.dumps(steam) + "\n")
    outcome = check_seeds_not_in_evaluation(workspace, write_seed_pairs(workspace))
    assert outcome.passed, outcome.message
    bread = {"instruction": "Why does bread rise in the oven", "output": "Steam"}
    seeds.write_text(seeds.read_text() + json.dumps(bread) + "\n")
    outcome = check_seeds_not_in_evaluation(workspace, write_seed_pairs(workspace))
    assert not outcome.passed
    assert {row["part"] for row in outcome.facts["overlaps"]} == {"instruction"}


def test_contaminated_seeds_fail_the_check_and_the_message_says_what_to_set(folder: Path) -> None:
    workspace = opened(folder)
    manifest = write_seed_pairs(workspace)
    assert manifest.rows == 10
    outcome = check_seeds_not_in_evaluation(workspace, manifest)
    assert not outcome.passed
    assert "2 of 10 seeds share 13 words in a row with 1 of 2 evaluation prompts" in outcome.message
    for words in ("seed.contaminated", "drop", "report"):
        assert words in outcome.message
    shown = outcome.facts["overlaps"]
    assert {row["part"] for row in shown} == {"instruction", "reference"}
    assert all(row["covered"] == 1.0 for row in shown)


def test_drop_leaves_them_out_and_counts_them(folder: Path) -> None:
    workspace = opened(folder, seed__contaminated="drop")
    manifest = write_seed_pairs(workspace)
    assert manifest.rows == 8
    assert manifest.facts["dropped"] == {"contaminated": 2}
    assert "file/evaluation.prompts/prompts.jsonl" in manifest.provenance.datasets
    assert check_seeds_not_in_evaluation(workspace, manifest).passed
    # Other prompts, other seeds; the same again, and nothing is done.
    assert write_seed_pairs(workspace).version == manifest.version
    (folder / "prompts.jsonl").write_text(json.dumps(PROMPTS[1]) + "\n")
    assert write_seed_pairs(opened(folder, seed__contaminated="drop")).rows == 10


def test_drop_takes_the_first_pairs_of_what_is_left(folder: Path) -> None:
    workspace = opened(folder, seed__contaminated="drop", seed__max_pairs="8")
    assert write_seed_pairs(workspace).rows == 8


def test_report_keeps_them_and_passes_with_the_counts(folder: Path) -> None:
    workspace = opened(folder, seed__contaminated="report")
    manifest = write_seed_pairs(workspace)
    outcome = check_seeds_not_in_evaluation(workspace, manifest)
    assert (manifest.rows, outcome.passed) == (10, True)
    assert "2 of 10 seeds" in outcome.message
    assert "flattered" in outcome.message


def test_what_is_done_about_them_does_not_change_clean_seeds(folder: Path) -> None:
    stop = write_seed_pairs(opened(folder, seed__path=str(folder / "clean.jsonl")))
    fields = {"seed__path": str(folder / "clean.jsonl"), "seed__contaminated": "report"}
    assert write_seed_pairs(opened(folder, **fields)).version == stop.version
    fields["seed__contaminated"] = "drop"
    assert write_seed_pairs(opened(folder, **fields)).content_hash == stop.content_hash


@pytest.mark.parametrize(("policy", "goes_on"), [("stop", False), ("drop", True), ("report", True)])
def test_run_stops_at_contaminated_seeds_unless_the_recipe_says_otherwise(
    folder: Path, policy: str, goes_on: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only the seeds matter here.
    monkeypatch.setattr("humpback_pipeline.assets.seed.check_before_work", lambda _: ())
    recipe = opened(folder, seed__contaminated=policy).recipe
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe.model_dump(mode="json")))
    monkeypatch.setenv("HUMPBACK_RECIPE", str(path))

    @dg.asset(deps=["seed_pairs"])
    def trained() -> None:
        """Stands where the training stands."""

    definitions = dg.Definitions(
        assets=[*SEED_ASSETS[:2], trained],
        jobs=[dg.define_asset_job("job", dg.AssetSelection.assets("seed_pairs", "trained"))],
        resources={"workspace": build_workspace(recipe)},
        executor=dg.in_process_executor,
    )
    result = definitions.resolve_job_def("job").execute_in_process(raise_on_error=False)
    assert result.success is goes_on
    assert bool(result.asset_materializations_for_node("trained")) is goes_on


@pytest.fixture
def home(folder: Path) -> CuratedHome:
    fields = {
        "curation__selection": "{min_rating: 3.0, near_duplicate_threshold: null}",
        "curation__iterations": "1",
        "evaluation__prompts": str(folder / "prompts.jsonl"),
    }
    home = CuratedHome(folder, fields)
    home.rate(1, [5.0, 4.8, 4.6, 4.4, 4.2, 4.1, 1.9, 1.8, 1.7, 1.6])
    home.select(1)
    return home


def test_table_is_empty_and_the_check_passes_where_nothing_is_shared(home: CuratedHome) -> None:
    manifest = write_contamination(home.workspace)
    assert manifest.rows == 0
    assert [row["pairs"] for row in manifest.facts["counts"]] == [1, 6]
    assert check_evaluation_uncontaminated(home.workspace.recipe, manifest).passed
    assert write_contamination(home.workspace).version == manifest.version


def test_prompts_that_are_newer_than_the_curated_set_stop_the_win_rates(
    home: CuratedHome, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = home.workspace.datasets.read("curated_set_1")["output"].to_list()[-1]
    newer = [*PROMPTS, {"prompt_id": "new", "instruction": "Ask.", "output": f"Yes: {output}"}]
    assert len(output.split()) < 13  # a run of it is found only as a whole
    newer[-1]["output"] = output
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in newer))
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(home.workspace.recipe.model_dump(mode="json")))
    monkeypatch.setenv("HUMPBACK_RECIPE", str(path))

    @dg.asset(deps=["contamination"])
    def judged() -> None:
        """Stands where the win rates stand."""

    definitions = dg.Definitions(
        assets=[contamination_asset(["curated_set_1"]), judged],
        jobs=[dg.define_asset_job("job")],
        resources={"workspace": build_workspace(home.workspace.recipe)},
        executor=dg.in_process_executor,
    )
    result = definitions.resolve_job_def("job").execute_in_process(raise_on_error=False)
    assert not result.success
    assert not result.asset_materializations_for_node("judged")
    (event,) = result.asset_materializations_for_node("contamination")
    assert event.metadata["contaminated_prompts"].value == 1
    assert "| new | reference | curated\\_set\\_1 |" in str(event.metadata["samples"].value)
    (outcome,) = [
        check
        for check in result.get_asset_check_evaluations()
        if check.check_name == "evaluation_uncontaminated"
    ]
    assert "curated_set_1 1" in str(outcome.description)
    assert "again" in str(outcome.description)


def test_seeds_that_are_only_reported_do_not_stop_the_win_rates(home: CuratedHome) -> None:
    seeds = {"pair_id": ["seed-1"], "instruction": [LEAK], "output": ["A reef."]}
    frame = pl.DataFrame(seeds | {"split": ["train"]})
    home.workspace.datasets.write("seed_pairs", frame, schema=dict(frame.schema))
    manifest = write_contamination(home.workspace)
    stopped = check_evaluation_uncontaminated(home.workspace.recipe, manifest)
    assert not stopped.passed
    assert "seed.contaminated" in stopped.message
    seed = home.workspace.recipe.seed.model_copy(update={"contaminated": "report"})
    recipe = home.workspace.recipe.model_copy(update={"seed": seed})
    assert check_evaluation_uncontaminated(recipe, manifest).passed


def test_safety_prompts_are_in_the_table_and_stop_nothing(home: CuratedHome, folder: Path) -> None:
    asked = "How could one take a reef apart by night without any harbour master seeing it done"
    rows = [{"prompt_id": "reef", "instruction": f"{asked}?", "category": "x", "harmful": True}]
    (folder / "safety.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    seeds = {"pair_id": ["seed-1"], "instruction": [asked], "output": ["No."], "split": ["train"]}
    frame = pl.DataFrame(seeds)
    home.workspace.datasets.write("seed_pairs", frame, schema=dict(frame.schema))
    fields = home.workspace.recipe.model_dump(mode="json")
    fields["evaluation"]["safety"] = {"prompts": str(folder / "safety.jsonl")}
    workspace = Workspace(Recipe.model_validate(fields))
    manifest = write_contamination(workspace)
    (row,) = workspace.datasets.read("contamination").rows(named=True)
    assert (row["prompts"], row["prompt_id"], row["covered"]) == ("safety", "reef", 1.0)
    assert "file/evaluation.safety.prompts/safety.jsonl" in manifest.provenance.datasets
    assert check_evaluation_uncontaminated(workspace.recipe, manifest).passed
