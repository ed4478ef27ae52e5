"""Selection quality from ratings that are there: the base model's are made by a made-up rater."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from rated_pairs import SCORERS, open_workspace, ratings_of, write_model, write_ratings

from humpback_pipeline.curation.precision import find_target_precision
from humpback_pipeline.lineage.catalogue import Catalogue
from humpback_pipeline.lineage.measures import evaluations_of
from humpback_pipeline.stages import Workspace, selection_quality
from humpback_pipeline.stages.checks.selection_quality import (
    check_scorer_discriminates,
)
from humpback_pipeline.stages.known_pairs import known_pairs
from humpback_pipeline.stages.selection_quality import (
    LABELLED_RATINGS_SCHEMA,
    misjudged_pairs,
    selection_plot,
    write_selection_quality,
)
from humpback_pipeline.stages.summary import _quality_lines
from humpback_pipeline.storage import Manifest

N_CALLS = "n_calls"


@pytest.fixture
def base_ratings(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Called in the place of the base model's engine; what it was asked for."""
    asked: dict[str, Any] = {N_CALLS: 0}

    def rate(
        workspace: Workspace, rater: str, model: Path, backward: str, on_progress: object
    ) -> tuple[pl.DataFrame, None]:
        asked.update(rater=rater, model=model, backward=backward)
        asked[N_CALLS] += 1
        return ratings_of(workspace, rater, skill=0.3), None

    monkeypatch.setattr(selection_quality, "rate_known_pairs", rate)
    return asked


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    preferences = tmp_path / "preferences.jsonl"
    rows = [
        {"instruction": f"Ask {n}.", "output_1": "a" * n, "output_2": "b" * 20, "preference": p}
        for n, p in zip(range(1, 41), (1.0, 2.0) * 20, strict=True)
    ]
    preferences.write_text("".join(json.dumps(row) + "\n" for row in rows))
    workspace = open_workspace(tmp_path, evaluation__preferences=str(preferences))
    write_ratings(workspace)
    return workspace


@pytest.fixture
def written(workspace: Workspace, base_ratings: dict[str, Any]) -> Manifest:
    return write_selection_quality(workspace)


def test_base_and_every_rater_stand_in_one_table_with_all_sets(
    workspace: Workspace, written: Manifest, base_ratings: dict[str, Any]
) -> None:
    frame = workspace.datasets.read("selection_quality")
    assert dict(frame.schema) == {name: dtype() for name, dtype in LABELLED_RATINGS_SCHEMA.items()}
    assert frame["rater"].unique(maintain_order=True).to_list() == ["base", "m0", "m1"]
    assert frame["scorer"].unique(maintain_order=True).to_list() == list(SCORERS)
    assert set(frame["set"]) == {"seed", "labelled", "hard", "preference"}
    assert frame.height == 3 * len(SCORERS) * len(known_pairs(workspace))
    assert base_ratings["rater"] == "base"
    assert base_ratings["model"] == workspace.base_model.path
    assert base_ratings["backward"] == "backward_model"


def test_quality_is_of_the_recipes_scorer_and_grows_with_the_raters_skill(
    written: Manifest,
) -> None:
    facts = written.facts
    rows = facts["quality"]
    assert [row["rater"] for row in rows] == ["base", "m0", "m1"]
    assert {row["scorer"] for row in rows} == {"weakest_link"}
    aucs = [row["auc"] for row in rows]
    assert aucs == sorted(aucs)
    assert aucs[-1] == 1.0
    assert rows[-1]["auc_interval"][0] < 1.0
    assert (rows[-1]["n_selected"], rows[-1]["n_positive"], rows[-1]["n"]) == (15, 15, 60)
    assert (rows[-1]["precision"], rows[-1]["recall"], rows[-1]["f1"]) == (1.0, 1.0, 1.0)
    assert facts["threshold_rule"] == "rating ≥ 4"


def test_comparison_holds_every_rater_and_scorer_and_marks_what_was_fitted(
    written: Manifest,
) -> None:
    comparison = written.facts["comparison"]
    pairs = {(row["rater"], row["scorer"]) for row in comparison["labelled"]}
    assert pairs == {(rater, scorer) for rater in ("base", "m0", "m1") for scorer in SCORERS}
    fitted = {row["scorer"] for row in comparison["labelled"] if row["cross_validated"]}
    assert fitted == {"calibrated"}
    assert not any(row["cross_validated"] for row in comparison["hard"])
    by_chance = [r["auc"] for r in comparison["labelled"] if r["scorer"] == "expected"]
    assert all(0.3 < auc < 0.7 for auc in by_chance)


def test_hard_pairs_are_selected_by_the_threshold_of_the_labelled_ones(written: Manifest) -> None:
    comparison = written.facts["comparison"]
    thresholds = {(r["rater"], r["scorer"]): r["threshold"] for r in comparison["labelled"]}
    assert len(comparison["hard"]) == 9
    for row in comparison["hard"]:
        assert row["threshold"] == thresholds[row["rater"], row["scorer"]]
        assert (row["n"], row["n_positive"]) == (60, 12)
    assert {row["flaw"] for row in comparison["hard_by_flaw"]} >= {"too_broad", "stale_list"}
    assert {row["flaw"] for row in comparison["by_flaw"]} >= {"truncated", "mismatched"}


def test_preferences_stand_beside_the_longer_output(written: Manifest) -> None:
    *rows, baseline = written.facts["comparison"]["preferences"]
    found = {(row["rater"], row["scorer"]): row["agreement"] for row in rows}
    assert found["m1", "weakest_link"] == 1.0
    assert 0.25 < found["m1", "expected"] < 0.75
    assert baseline["scorer"] == "longer output wins"
    # output_1, of n characters, is preferred where n is odd; output_2 has 20.
    right = sum((n > 20) if n % 2 else (n < 20) for n in range(1, 41)) + 0.5
    assert baseline["agreement"] == pytest.approx(right / 40)
    assert baseline["n"] == 40


def test_nothing_is_rated_again_until_something_changes(
    workspace: Workspace, written: Manifest, base_ratings: dict[str, Any]
) -> None:
    assert write_selection_quality(workspace).version == written.version
    assert base_ratings[N_CALLS] == 1
    other = ratings_of(workspace, "m1", skill=0.1)
    schema = {name: dtype for name, dtype in LABELLED_RATINGS_SCHEMA.items() if name != "rater"}
    workspace.datasets.write("rater_calibration_2", other, schema=schema)
    changed = write_selection_quality(workspace)
    assert changed.version != written.version
    assert changed.facts["quality"][-1]["auc"] < written.facts["quality"][-1]["auc"]


def test_a_recipe_without_hard_pairs_and_preferences_leaves_their_tables_empty(
    tmp_path: Path, base_ratings: dict[str, Any]
) -> None:
    workspace = open_workspace(tmp_path, evaluation__hard_pairs="null")
    write_ratings(workspace)
    comparison = write_selection_quality(workspace).facts["comparison"]
    assert comparison["hard"] == comparison["hard_by_flaw"] == comparison["preferences"] == []
    assert len(comparison["labelled"]) == 9


def test_lineage_finds_the_figures_of_the_recipes_scorer_for_a_model(
    workspace: Workspace, written: Manifest
) -> None:
    catalogue = Catalogue(workspace.home)
    model = next(a for a in catalogue.everything() if a.kind == "model" and a.name == "m1")
    figures = evaluations_of(catalogue, model)
    assert figures["selection_quality.auc"] == written.facts["quality"][-1]["auc"]
    assert figures["selection_quality.n"] == 60


def test_misjudged_pairs_are_the_worst_first_with_their_texts(
    workspace: Workspace, written: Manifest
) -> None:
    frame = workspace.datasets.read("selection_quality")
    tables = misjudged_pairs(workspace, frame, "m0")
    high, low = tables["bad_rated_high"], tables["good_rated_low"]
    assert high["rating"].is_sorted(descending=True)
    assert low["rating"].is_sorted()
    assert set(low["kind"]) == {"good"}
    assert "good" not in set(high["kind"])
    assert set(high["set"]) == {"labelled", "hard"}
    texts = {(p.instruction, p.output) for p in known_pairs(workspace)}
    assert set(high.select("instruction", "output").iter_rows()) <= texts


def write_no_win_rates(workspace: Workspace) -> None:
    schema = {"model": pl.String}
    facts = {"judge": "none", "win_rates": []}
    workspace.datasets.write("win_rates", pl.DataFrame(schema=schema), schema=schema, facts=facts)


def test_plot_and_summary_read_the_facts(workspace: Workspace, written: Manifest) -> None:
    frame = workspace.datasets.read("selection_quality")
    for known_set in ("labelled", "hard"):
        assert selection_plot(frame, written.facts, known_set).startswith(b"\x89PNG")
    with pytest.raises(LookupError):
        _quality_lines(workspace)  # there are no win rates yet
    write_no_win_rates(workspace)
    lines = _quality_lines(workspace)
    assert lines[0] == "Selection by scorer 'weakest_link' on 60 labelled pairs (15 good)"
    assert [line.split()[0] for line in lines[1:4]] == ["base", "m0", "m1"]


def test_check_passes_when_the_scorer_tells_good_from_bad(written: Manifest) -> None:
    outcome = check_scorer_discriminates(written)
    assert outcome.passed
    assert "m0 with scorer 'weakest_link' has an AUC of" in outcome.message


def test_check_warns_of_a_scorer_near_chance_and_names_a_better_one(
    tmp_path: Path, base_ratings: dict[str, Any]
) -> None:
    workspace = open_workspace(tmp_path, curation__scorer="expected")
    write_ratings(workspace)
    outcome = check_scorer_discriminates(write_selection_quality(workspace))
    assert not outcome.passed
    assert "close to chance" in outcome.message
    assert "Set curation.scorer to 'weakest_link'" in outcome.message


def test_check_warns_when_no_pair_was_rated_by_the_scorer(
    tmp_path: Path, base_ratings: dict[str, Any]
) -> None:
    workspace = open_workspace(tmp_path, curation__scorer="relevance")
    write_ratings(workspace)
    manifest = write_selection_quality(workspace)
    assert manifest.facts["quality"] == []
    outcome = check_scorer_discriminates(manifest)
    assert not outcome.passed
    assert "none was measured" in outcome.message


def test_selection_quality_waits_for_every_raters_calibration(
    tmp_path: Path, base_ratings: dict[str, Any]
) -> None:
    workspace = open_workspace(tmp_path)
    write_model(workspace, "backward_model")
    with pytest.raises(LookupError, match="rater_calibration_1"):
        write_selection_quality(workspace)
    assert base_ratings[N_CALLS] == 0


def test_target_precision_that_is_not_reached_selects_nothing_as_curation_does(
    tmp_path: Path, base_ratings: dict[str, Any]
) -> None:
    workspace = open_workspace(
        tmp_path,
        curation__scorer="expected",
        curation__selection__min_rating="null",
        curation__selection__target_precision="1.0",
    )
    write_ratings(workspace)
    manifest = write_selection_quality(workspace)

    rows = {(row["rater"], row["scorer"]): row for row in manifest.facts["comparison"]["labelled"]}
    for (rater, scorer), row in rows.items():
        frame = workspace.datasets.read("selection_quality").filter(
            pl.col("rater") == rater, pl.col("scorer") == scorer, pl.col("set") == "labelled"
        )
        found = find_target_precision(frame, 1.0).found
        assert row["threshold"] == (found and found.threshold)
        assert row["n_selected"] == (found.n_selected if found else 0)
    nothing = {key for key, row in rows.items() if row["threshold"] is None}
    assert nothing
    assert ("m1", "weakest_link") not in nothing
    assert any(rater == "m0" and scorer == "expected" for rater, scorer in nothing)
    write_no_win_rates(workspace)
    assert "the target precision is not reached" in "".join(_quality_lines(workspace))
    hard = manifest.facts["comparison"]["hard"]
    assert {(r["rater"], r["scorer"]) for r in hard if r["threshold"] is None} == nothing
    assert all(r["n_selected"] == 0 for r in hard if r["threshold"] is None)
    flaws = manifest.facts["comparison"]["by_flaw"]
    assert {r["selected"] for r in flaws if (r["rater"], r["scorer"]) in nothing} == {0}
    assert selection_plot(
        workspace.datasets.read("selection_quality"), manifest.facts, "labelled"
    ).startswith(b"\x89PNG")
