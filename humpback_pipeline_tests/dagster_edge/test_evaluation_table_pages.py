"""The pages of the evaluation's tables: what they say and show, from facts that are there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from judged_home import JudgeServer, judged_home

from humpback_pipeline.assets import data_analysis, head_to_head, improvement, length_histograms
from humpback_pipeline.assets.columns import describe_column
from humpback_pipeline.evaluation.length_histograms import HISTOGRAM_SCHEMA, summarise_lengths
from humpback_pipeline.resources import build_workspace
from humpback_pipeline.stages.data_analysis import paper_statistics
from humpback_pipeline.stages.head_to_head import HEAD_TO_HEAD_SCHEMA
from humpback_pipeline.stages.improvement import IMPROVEMENT_SCHEMA
from humpback_pipeline.stages.instruction_diversity import DIVERSITY_SCHEMA
from humpback_pipeline.stages.win_rates import write_win_rates

RESPONSES = {"m0": "m0_responses", "m1": "m1_responses"}


def page_of(result: dg.ExecuteInProcessResult, asset: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(asset)
    return {name: value.value for name, value in event.metadata.items()}


def test_pages_of_head_to_head_and_improvement_show_tables_tests_and_the_paper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = JudgeServer()
    # Good beside bad is as far apart as a judge can be sure of, the reference in between.
    worth = {"good": 1.5, "bad ": 0.0}
    monkeypatch.setattr("judged_home._worth", lambda text: worth.get(text[:4], 0.75))
    try:
        workspace = judged_home(tmp_path, judge.server)
        write_win_rates(workspace)
        resource = build_workspace(workspace.recipe)
        monkeypatch.setattr(type(resource), "open", lambda self: workspace)
        result = dg.materialize(
            [
                head_to_head.head_to_head_asset(RESPONSES),
                improvement.improvement_asset(RESPONSES),
            ],
            resources={"workspace": resource},
        )
    finally:
        judge.server.stop()
    assert result.success
    page = page_of(result, "head_to_head")
    assert page["plot"].startswith("![how often each model")
    assert "| m1 | 65.0 \\[46.9–79.6\\] | – |" in page["matrix"]
    assert "| m0 | – | 35.0 \\[20.4–53.1\\] |" in page["matrix"]
    assert "| m1 against m0 |" in page["tests"]
    assert "p, Holm" in page["tests"]
    assert "9 prompts" in page["small_sample"]
    assert "sign-flip permutation test" in page["how_to_read"]
    checks = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert checks["every_prompt_judged"]
    assert checks["position_bias"]

    page = page_of(result, "improvement_over_seed")
    assert page["plot"].startswith("![prompts lost before")
    assert "| paper, all \\(reasoning, information\\_seeking" in page["by_category"]
    assert "| 251 |" in page["by_category"]
    assert "16% \\[12–21\\]" in page["by_category"]
    assert "Small sample" in page["how_to_read"]
    assert "told by their words" in page["how_to_read"]
    assert "answer 1 of m1" in page["turned_into_win"]
    assert "by_prompt_set" not in page


def test_every_column_of_the_tables_is_explained() -> None:
    for schema in (HEAD_TO_HEAD_SCHEMA, IMPROVEMENT_SCHEMA, DIVERSITY_SCHEMA, HISTOGRAM_SCHEMA):
        assert [name for name in schema if describe_column(name) is None] == []


def test_statistics_table_has_the_papers_rows_below_ours_and_marks_few_examples() -> None:
    lengths = {"instruction_chars_mean": 12.0, "instruction_chars_sd": None}
    ours = {"dataset": "seeds", "n_examples": 2, **lengths}
    ours |= {"output_chars_mean": None, "output_chars_sd": None}
    table = data_analysis.statistics_table([ours], paper_statistics()).value
    assert "| ours | seeds | 2 | 12 | – | yes |" in table
    assert "| paper | Seed data | 3,200 | 148 ± 322 | 1,072 ± 818 |" in table


def test_diversity_table_has_intervals_and_the_papers_shares() -> None:
    row: dict[str, Any] = dict.fromkeys(DIVERSITY_SCHEMA, 0.5)
    row |= {"dataset": "seeds", "n": 9, "n_total": 20, "n_matched": 9, "embedding_distance": None}
    table = data_analysis.diversity_table([row]).value
    assert "| seeds | 9 of 20 | 50% \\[50%–50%\\] |" in table
    assert "| paper: Augmented |" in table
    assert "13% |" in table
    facts = {"embedding_model": "tiny", "embedding_note": "no table"}
    read = data_analysis.how_to_read([row], facts)
    assert "It was not measured: no table." in read
    assert "Few instructions, read the intervals: seeds (9)." in read


def test_length_table_shows_samples_intervals_and_the_papers_means() -> None:
    rows = [summarise_lengths("seeds", "output", "tokens", [10, 20, 30], n_total=300)]
    table = length_histograms.length_table(rows)
    assert "| seeds, output | tokens | 3 | 300 | 20 | 0–45 |" in table
    assert "| paper: Augmented, all, instruction | chars |" in table
