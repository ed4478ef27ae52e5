"""The pages of the pairs and of what people judged, materialised in a home with responses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from human_judging import responses

from humpback_pipeline.assets.human_evaluation import human_evaluation_asset, human_pairs_asset
from humpback_pipeline.judging import JudgingQueue, read_pairs
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.resources import build_workspace
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.human_evaluation import judgements_folder, pairs_file

ASSETS = [
    human_pairs_asset(["m0_responses", "m2_responses"]),
    human_evaluation_asset(["win_rates"]),
]


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("HUMPBACK_HOME", str(tmp_path / "home"))
    workspace = Workspace(load_recipe("demo"))
    for model, frame in responses(n=8).items():
        workspace.datasets.write(f"{model}_responses", frame, schema=dict(frame.schema))
    judged = {"model": ["m2"] * 8, "prompt_id": [f"p{i}" for i in range(8)]}
    rates = pl.DataFrame({**judged, "preference": [1.8] * 8})
    workspace.datasets.write("win_rates", rates, schema=dict(rates.schema))
    return workspace


def materialise(workspace: Workspace) -> dict[str, dict[str, Any]]:
    result = dg.materialize(ASSETS, resources={"workspace": build_workspace(workspace.recipe)})
    assert result.success
    return {
        name: {
            **{
                key: value.value
                for event in result.asset_materializations_for_node(name)
                for key, value in event.metadata.items()
            },
            "checks": {
                check.check_name: check.passed
                for check in result.get_asset_check_evaluations()
                if check.asset_key.to_user_string() == name
            },
        }
        for name in ("human_evaluation_pairs", "human_evaluation")
    }


def test_pages_without_judgements_say_so_and_how_to_make_some(workspace: Workspace) -> None:
    pages = materialise(workspace)
    assert "| m2 vs reference | 8 | 4 |" in pages["human_evaluation_pairs"]["pairs"]
    page = pages["human_evaluation"]
    assert page["judgements"] == "There are no judgements yet."
    assert "make judge" in page["how_to_judge"]
    assert page["folder"] == str(judgements_folder(workspace))
    assert page["dagster/row_count"] == 0
    assert page["checks"] == {"schema_and_ids": True, "judgements_usable": True}


def test_page_with_judgements_has_shares_plot_agreement_and_the_bad_records(
    workspace: Workspace,
) -> None:
    materialise(workspace)
    folder = judgements_folder(workspace)
    pairs = workspace.datasets.read("human_evaluation_pairs")
    for annotator, n in (("ada", 16), ("bob", 12)):
        queue = JudgingQueue(read_pairs(pairs_file(workspace)), folder, annotator)
        for row in pairs.head(n).iter_rows(named=True):
            queue.answer(row["pair_id"], "first" if row["first_model"] == "m2" else "second")
    (folder / "torn.jsonl").write_text('{"pair_id": "<img src=x>", "choice": "first"}\n{"pai')
    page = materialise(workspace)["human_evaluation"]
    assert "| m2 vs m0 | 100 % \\[68–100\\] | 0 % \\[0–32\\]" in page["shares"]
    assert page["plot"].startswith("![three-way bars")
    assert "100% win" in page["plot"]
    assert "| 2 | 12 | 100 %" in page["annotators"]
    assert "| ada | bob | 12 | 100 %" in page["by_annotators"]
    assert "| m2 vs reference | 8 |" in page["judge"]
    assert "m2 vs m0" not in page["judge"]  # no table has the judge's verdict on it
    assert "Few pairs: m2 vs m0 (n = 8)" in page["how_to_read"]
    assert "unknown\\_pair" in page["bad_by_reason"]
    assert "<img" not in page["bad"]
    assert page["checks"] == {"schema_and_ids": True, "judgements_usable": False}
