"""The page of `win_rates`, materialised from responses that are there and a judge on a server."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from endpoint_server import Server
from judged_home import MODELS, JudgeServer, judged_home

from humpback_pipeline.assets.win_rates import (
    comparison_table,
    cost_table,
    win_rate_table,
    win_rates_asset,
)
from humpback_pipeline.resources import build_workspace
from humpback_pipeline.stages.alpaca_eval_exports import exports_folder


def materialise(
    folder: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> tuple[dg.ExecuteInProcessResult, Path]:
    workspace = judged_home(folder, server)
    recipe = folder / "recipe.yaml"
    recipe.write_text(yaml.safe_dump(workspace.recipe.model_dump(mode="json")))
    monkeypatch.setenv("HUMPBACK_RECIPE", str(recipe))
    result = dg.materialize(
        [win_rates_asset(MODELS)], resources={"workspace": build_workspace(workspace.recipe)}
    )
    assert result.success
    return result, exports_folder(workspace)


def test_page_has_rates_tests_bias_costs_and_the_papers_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = JudgeServer(lean=0.1)
    try:
        result, exports = materialise(tmp_path, judge.server, monkeypatch)
    finally:
        judge.server.stop()
    (event,) = result.asset_materializations_for_node("win_rates")
    page: dict[str, Any] = {name: value.value for name, value in event.metadata.items()}
    rates = page["win_rates"]
    assert [line.split("|")[1].strip() for line in rates.splitlines()[2:5]] == list(MODELS)
    assert "| m1 | 60.00 |" in rates
    assert "paper: Humpback 65B | 83.71 | 1.31 |" in rates
    assert "not comparable with AlpacaEval's leaderboard" in rates
    assert "| m1 − m0 | 20.000 |" in page["compared_with_each_other"]
    assert "Position bias +0.200 (95 % " in page["judge_behaviour"]
    assert "Refused by the judge: 0." in page["judge_behaviour"]
    assert page["position_bias"] == pytest.approx(0.2)
    usd = (2_700 * 2 + 54 * 10) / 1e6
    assert f"| all | 54 | 54 | 0 | 2,700 | 54 | {usd:.4f} | {usd:.4f} | 0 |" in page["costs"]
    assert "9 prompts" in page["small_sample"]
    png = base64.b64decode(page["plot"].partition("base64,")[2].rstrip(")"))
    assert png.startswith(b"\x89PNG")
    assert "`m1/annotations.json`" in page["alpaca_eval_files"]
    assert str(exports) in page["alpaca_eval_files"]
    assert len(json.loads((exports / "m1" / "annotations.json").read_text())) == 9
    assert "good answer" in page["best_of_m1"]
    verdicts = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert verdicts["every_prompt_judged"]
    assert "position_bias" in verdicts
    columns = page["dagster/column_schema"].columns
    assert all(column.description for column in columns)


def test_tables_of_nothing_are_sentences_and_the_paper() -> None:
    assert comparison_table([]) == "Nothing to compare."
    assert "paper: Humpback 33B" in win_rate_table([])
    assert cost_table([]) == "Nothing was judged."
