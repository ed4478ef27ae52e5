"""The page of `selection_quality`, materialised from ratings that are there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from rated_pairs import open_workspace, ratings_of, write_ratings

from humpback_pipeline import models
from humpback_pipeline.assets.selection_quality import figures, selection_quality_asset
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.resources import build_workspace
from humpback_pipeline.stages import Workspace, selection_quality


def materialise(
    folder: Path, monkeypatch: pytest.MonkeyPatch, scorer: str = "weakest_link", **fields: str
) -> dg.ExecuteInProcessResult:
    fields = {"curation.scorer": scorer, **fields}
    workspace = open_workspace(folder, **fields)
    monkeypatch.setenv("HUMPBACK_HOME", str(workspace.home))
    monkeypatch.setenv("HUMPBACK_SET", " ".join(f"{n}={value}" for n, value in fields.items()))
    write_ratings(workspace)
    base = workspace.base_model

    def rate(opened: Workspace, rater: str, *_: Any) -> tuple[pl.DataFrame, None]:
        return ratings_of(opened, rater, skill=0.3), None

    monkeypatch.setattr(selection_quality, "rate_known_pairs", rate)
    monkeypatch.setattr(models, "resolve_base_model", lambda *_: base)
    result = dg.materialize(
        [selection_quality_asset(workspace.recipe.curation.iterations)],
        resources={"workspace": build_workspace(workspace.recipe)},
    )
    assert result.success
    return result


def metadata(result: dg.ExecuteInProcessResult) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node("selection_quality")
    return {name: value.value for name, value in event.metadata.items()}


def test_page_shows_tables_plots_the_paper_and_the_worst_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = materialise(tmp_path, monkeypatch)
    page = metadata(result)
    for rater in ("base", "m0", "m1"):
        assert page["quality"].count(f"| {rater} |") == 1
        assert page["scorers"].count(f"| {rater} |") == 3
        assert page["hard_set"].count(f"| {rater} |") == 3
    assert "calibrated \\(cross-validated\\)" in page["scorers"]
    assert "cross-validated" not in page["hard_set"]
    assert "GPT-4 | 0.88 | 0.92 |" in page["paper"]
    assert "truncated \\(n = 9\\)" in page["auc_by_flaw"]
    assert "too\\_broad \\(n = 9\\)" in page["hard_auc_by_flaw"]
    assert page["plot"].startswith("![precision")
    assert page["hard_plot"] != page["plot"]
    assert "Only 15 good and 45 bad labelled pairs" in page["how_to_read"]
    assert page["preferences"].startswith("Not measured")
    assert "| labelled | good |" in page["good_pairs_m1_rates_lowest"]
    assert "| good |" not in page["bad_pairs_m1_rates_highest"]
    assert "None of 60 labelled pairs is in the seeds" in page["how_to_read"]
    assert "take pairs as independent" in page["how_to_read"]
    assert "not reached" not in page["scorers"]
    (verdict,) = [
        e for e in result.get_asset_check_evaluations() if e.check_name == "scorer_discriminates"
    ]
    assert verdict.passed


def test_scorer_near_chance_warns_and_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = materialise(tmp_path, monkeypatch, scorer="expected")
    (verdict,) = [
        e for e in result.get_asset_check_evaluations() if e.check_name == "scorer_discriminates"
    ]
    assert not verdict.passed
    assert verdict.severity == dg.AssetCheckSeverity.WARN
    assert "weakest_link" in str(verdict.description)


def test_labelled_pairs_of_the_seeds_are_said_on_the_page_and_by_a_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = (PACKAGE_DIR / "examples" / "labelled_pairs.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in labelled.splitlines()]
    seeds = tmp_path / "seeds.jsonl"
    pairs = [{name: row[name] for name in ("instruction", "output")} for row in rows]
    seeds.write_text("".join(json.dumps(pair) + "\n" for pair in pairs))
    result = materialise(tmp_path, monkeypatch, **{"seed.path": str(seeds)})

    assert metadata(result)["how_to_read"].startswith("FLATTERED: ")
    (verdict,) = [
        e for e in result.get_asset_check_evaluations() if e.check_name == "known_pairs_unseen"
    ]
    assert not verdict.passed
    assert verdict.severity == dg.AssetCheckSeverity.WARN


def test_table_says_where_a_target_precision_is_not_reached() -> None:
    shares = ("precision", "recall", "f1", "auc")
    row = {
        "rater": "m0",
        "scorer": "combined",
        **dict.fromkeys(shares, 0.0),
        **{f"{name}_interval": (0.0, 1.0) for name in shares},
        "threshold": None,
        "n_selected": 0,
        "n_positive": 15,
        "n": 60,
        "n_errors": 0,
        "few_pairs": True,
        "cross_validated": False,
    }
    tables = ("by_flaw", "hard", "hard_by_flaw", "preferences")
    facts = {
        "scorer": "combined",
        "threshold_rule": "the lowest rating with precision ≥ 0.9",
        "seen": {},
        "quality": [row],
        "comparison": {"labelled": [row], **{name: [] for name in tables}},
    }
    ratings = pl.DataFrame(
        {
            "set": ["labelled"] * 2,
            "pair_id": ["labelled/a", "labelled/b"],
            "label": [1, 0],
            "rater": ["m0"] * 2,
            "scorer": ["combined"] * 2,
            "rating": [2.0, 3.0],
            "seen": [False] * 2,
        }
    )
    page = {name: str(value.value) for name, value in figures(facts, ratings).items()}
    assert "| not reached | 0 |" in page["quality"]
    assert "| – |" in page["quality"]


def test_asset_depends_on_every_raters_calibration() -> None:
    asset = selection_quality_asset(3)
    parents = {key.to_user_string() for key in asset.asset_deps[asset.key]}
    assert parents == {
        *("rater_calibration_1", "rater_calibration_2", "rater_calibration_3"),
        "backward_model",
    }
