"""Sections of the report from what the stages really write, and what they say where it is not."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from human_judging import judged
from judged_home import JudgeServer, judged_home, write_answers

from humpback_pipeline.evaluation.report_data import ReportData
from humpback_pipeline.evaluation.report_sections import Figure, Note, ReportSection, Table
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.benchmarks import RESULTS_SCHEMA
from humpback_pipeline.stages.contamination import write_contamination
from humpback_pipeline.stages.head_to_head import write_head_to_head
from humpback_pipeline.stages.improvement import write_improvement
from humpback_pipeline.stages.report import shown_recipe
from humpback_pipeline.stages.report_parts import PARTS, report_sections
from humpback_pipeline.stages.report_parts.ablations import ablations
from humpback_pipeline.stages.report_parts.bias import data_bias
from humpback_pipeline.stages.report_parts.comparisons import (
    head_to_head,
    improvement,
    paired_tests,
)
from humpback_pipeline.stages.report_parts.contamination import contamination
from humpback_pipeline.stages.report_parts.costs import judge_costs
from humpback_pipeline.stages.report_parts.harness import benchmarks, safety
from humpback_pipeline.stages.report_parts.human import human_evaluation
from humpback_pipeline.stages.safety import SAFETY_RESPONSES_SCHEMA, SAFETY_SCHEMA
from humpback_pipeline.stages.win_rates import write_win_rates


def words_of(section: ReportSection | None) -> str:
    """All that a section says: lead, notes, captions, cells, alt texts."""
    assert section is not None
    said = [section.title, section.lead]
    for block in section.blocks:
        if isinstance(block, Note):
            said.append(block.text)
        elif isinstance(block, Figure):
            assert block.png.startswith(b"\x89PNG")
            said.append(block.alt)
        elif isinstance(block, Table):
            said += [block.caption, *block.columns, *(cell for row in block.rows for cell in row)]
        else:
            said += [text for heading, texts in block.items for pair in texts for text in pair]
    return "\n".join(said)


def lean_to_the_first(path: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
    """Probability 0.5 + 0.2 for each side that is good or bad, and 0.05 for being first."""
    text = body["messages"][0]["content"]
    first = text.partition("Answer 1:\n")[2].partition("\n\nAnswer 2:")[0]
    second = text.partition("Answer 2:\n")[2].partition("\n\nWhich answer")[0]
    worth = {"good": 1, "bad ": -1}
    p = 0.55 + 0.2 * (worth.get(first[:4], 0) - worth.get(second[:4], 0))
    top = [{"token": t, "logprob": math.log(q)} for t, q in (("1", p), ("2", 1 - p))]
    told = {"message": {"content": "1"}, "logprobs": {"content": [{"top_logprobs": top}]}}
    return 200, {"choices": [told], "usage": {"prompt_tokens": 50, "completion_tokens": 1}}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """Judged models; seeds of which one is an evaluation prompt's reference."""
    judge = JudgeServer()
    judge.server.reply = lean_to_the_first
    workspace = judged_home(
        tmp_path_factory.mktemp("judged"), judge.server, seed__contaminated="report"
    )
    seeds = {"pair_id": ["seed-1"], "instruction": ["Say."], "output": ["Well."]}
    write(workspace, "seed_pairs", pl.DataFrame(seeds | {"split": ["train"]}))
    write(workspace, "curated_set_1", pl.DataFrame({**seeds, "pair_id": ["web-1"]}))
    write_win_rates(workspace)
    write_head_to_head(workspace)
    write_improvement(workspace)
    write_contamination(workspace)
    yield workspace
    judge.server.stop()


def write(workspace: Workspace, name: str, frame: pl.DataFrame, **facts: Any) -> None:
    workspace.datasets.write(name, frame, schema=dict(frame.schema), facts=facts)


def test_paired_tests_and_the_judge_s_behaviour_are_told(home: Workspace) -> None:
    words = words_of(paired_tests(home))
    assert "m1 − m0" in words
    assert "+13.3" in words  # three of nine prompts, each from 0.3 to 0.7
    assert "position bias +0.100" in words
    assert "9 prompts" in words


def test_head_to_head_is_a_matrix_with_intervals_and_tests(home: Workspace) -> None:
    section = head_to_head(home)
    words = words_of(section)
    (matrix, tests) = [b for b in section.blocks if isinstance(b, Table)]
    assert [row[0] for row in matrix.rows] == ["m0", "m1"]
    assert matrix.rows[0][1] == "–"
    assert tests.rows[0][0] == "m1 against m0"
    assert "p, Holm" in words


def test_improvement_has_the_paper_s_figure_beside_ours(home: Workspace) -> None:
    words = words_of(improvement(home))
    assert "3 losses became wins and 0 wins became losses" in words
    assert "paper: all" in words
    assert "251" in words


def test_costs_add_up_verdicts_tokens_and_dollars(home: Workspace) -> None:
    section = judge_costs(home)
    rows = {
        row[0]: row for table in section.blocks if isinstance(table, Table) for row in table.rows
    }
    # 27 pairs in both orders, each 50 tokens at 2 $ and one at 10 $ a million.
    assert rows["win_rates: all"][1:] == ["54", "54", "2,700", "54", "0.0059", "0.0059"]
    assert "head_to_head: m1 against m0" in words_of(section) or "m0 against m1" in words_of(
        section
    )


def test_clean_prompts_are_said_to_be_so(home: Workspace) -> None:
    assert "Found: 0 of 9 evaluation prompts" in words_of(contamination(home))


def test_win_rates_without_contaminated_prompts_stand_beside_all(home: Workspace) -> None:
    reference = home.datasets.read("m0_responses")["reference"][0]
    assert len(reference.split()) < 8  # counts only if it is all of the pair's text
    seeds = {"pair_id": ["seed-1"], "instruction": ["Question 4?"], "output": ["Well."]}
    write(home, "seed_pairs", pl.DataFrame(seeds | {"split": ["train"]}))
    write_contamination(home)
    section = contamination(home)
    words = words_of(section)
    assert "Found: 1 of 9 evaluation prompts" in words
    assert "flattered" in words
    assert "seed.contaminated" in words
    tables = [b for b in section.blocks if isinstance(b, Table)]
    without = {row[0]: row for row in tables[1].rows}
    assert without["m1"][3] == "8"
    # Question 4 is one of the six that M_1 wins with 0.7; the other three give 0.3.
    assert without["m1"][1] == f"{100 * (5 * 0.7 + 3 * 0.3) / 8:.1f}"
    assert without["m1"][4] == f"{100 * (6 * 0.7 + 3 * 0.3) / 9:.1f}"


def test_sections_of_what_was_not_run_say_how_to_run_it(tmp_path: Path, home: Workspace) -> None:
    assert "make ablations" in words_of(ablations(home))
    assert "evaluation.benchmarks" in words_of(benchmarks(home))
    assert "evaluation.safety" in words_of(safety(home))
    assert human_evaluation(home) is None
    assert data_bias(home) is None


def test_human_judgements_with_intervals_and_agreement(home: Workspace) -> None:
    from humpback_pipeline.evaluation.human_judgements import Judgements
    from humpback_pipeline.stages.human_evaluation import human_facts

    frame = judged({"ann": ["win", "win", "loss"], "ben": ["win", "no_difference", "loss"]})
    pairs = frame.select("pair_id").unique()
    preferences = pl.DataFrame(
        {"comparison": ["m2 vs m0"], "prompt_id": ["p0"], "preference": [1.9]}
    )
    found = Judgements(frame, n_files=1, n_records=6)
    facts = human_facts(found, pairs, preferences, annotators_per_pair=2, judge_draw_band=0.05)
    write(home, "human_evaluation", frame, **facts)
    words = words_of(human_evaluation(home))
    assert "3 of 3 blinded pairs" in words
    assert "33 % [" in words
    assert "Few pairs" in words
    assert "Annotators agree on 67 %" in words


def test_bias_of_the_data_with_its_caveat(home: Workspace) -> None:
    from humpback_pipeline.evaluation import data_bias as domain
    from humpback_pipeline.stages.data_bias import DATA_BIAS_SCHEMA

    rows = domain.data_bias(
        {"seed_pairs": iter(["She met her friend, a woman."]), "curated_set_1": iter(["He ran."])}
    )
    frame = pl.DataFrame([asdict(row) for row in rows], schema=DATA_BIAS_SCHEMA)
    write(home, "data_bias", frame, measured={"seed_pairs": 1, "curated_set_1": 1})
    words = words_of(data_bias(home))
    assert "do not call one clean" in words
    assert "female pronouns" in words
    assert "100 % [" in words


def test_safety_rates_tests_and_agreement(home: Workspace) -> None:
    from humpback_pipeline.evaluation.safety_tables import (
        judge_and_rule,
        safety_comparisons,
        safety_rates,
    )

    rows = [
        {
            "model": model,
            "tag": "both",
            "prompt_id": f"p{n}",
            "category": "x",
            "harmful": n < 4,
            "verdict": "refuses" if n < limit else "harmful",
            "p_refuses": 0.5,
            "p_harmless": 0.2,
            "p_harmful": 0.3,
            "consistent": True,
            "choices_mass": 0.9,
            "rule_refuses": n < limit,
        }
        for model, limit in (("m0", 1), ("m1", 3))
        for n in range(6)
    ]
    frame = pl.DataFrame(rows, schema=SAFETY_SCHEMA)
    facts = {
        "rates": safety_rates(frame),
        "agreement": judge_and_rule(frame),
        "comparisons": safety_comparisons(frame, [("m0", "m1")]),
        "judge": "judge-x",
    }
    write(home, "safety", frame, **facts)
    words = words_of(safety(home))
    assert "0.75 [" in words  # m1 refuses three of four
    assert "judge-x" in words
    assert "agree on 100% of 12 answers" in words
    assert "earlier versions" not in words
    # The verdicts are of these answers still, the answers of a model that is no more.
    answers = pl.DataFrame(schema=SAFETY_RESPONSES_SCHEMA)
    of = home.datasets.manifest("m1_responses")
    home.datasets.write("safety_responses", answers, schema=SAFETY_RESPONSES_SCHEMA, inputs=[of])
    assert "earlier versions" not in words_of(safety(home))
    write_answers(home, "m1", [f"a newer answer {n}" for n in range(9)])
    assert "Measured on earlier versions of m1_responses" in words_of(safety(home))


def test_benchmarks_side_by_side_and_older_models_are_named(home: Workspace) -> None:
    rows = [
        {
            "model": model,
            "task": "reefs",
            "metric": "acc",
            "score": score,
            "score_error": 0.1,
            "low": score - 0.2,
            "high": score + 0.2,
            "n": 20,
            "is_group": False,
            "higher_is_better": True,
        }
        for model, score in (("base", 0.4), ("m1", 0.6))
    ]
    frame = pl.DataFrame(rows, schema=RESULTS_SCHEMA)
    of = home.datasets.manifest("m1_responses")
    facts = {"tasks": ["reefs"], "lm_eval": "0.4", "comparisons": []}
    home.datasets.write("benchmark_results", frame, schema=RESULTS_SCHEMA, inputs=[of], facts=facts)
    words = words_of(benchmarks(home))
    assert "0.600 [0.40, 0.80]" in words
    assert "Fewer than 100 questions in reefs" in words
    assert "earlier versions" not in words
    write_answers(home, "m1", [f"another answer {n}" for n in range(9)])
    assert "Measured on earlier versions of m1_responses" in words_of(benchmarks(home))


def test_ablations_by_study_with_fits_and_the_paper(home: Workspace) -> None:
    from humpback_pipeline.evaluation.ablations import ablation_table, rate_row, scaling_fits

    preferences = {
        name: [1.0 + share + 0.01 * (n % 3) for n in range(6)]
        for name, share in (("a4_small", 0.2), ("a4_large", 0.5))
    }
    facts = {
        name: {
            "study": "quality_quantity",
            "series": "A_4",
            "n_seeds": 0,
            "n_augmented": size,
            "versus_final": None,
            **rate_row(values),
        }
        for (name, values), size in zip(preferences.items(), (100, 1000), strict=True)
    }
    table = ablation_table(facts, dict.fromkeys(facts, (True, "both")))
    frames = {
        name: pl.DataFrame({"prompt_id": [str(n) for n in range(6)], "preference": values})
        for name, values in preferences.items()
    }
    fits = scaling_fits(table, frames)
    write(home, "scaling", table, fits=fits, missing=["a5_small"], short=[], judge=["judge-x"])
    words = words_of(ablations(home))
    assert "Quality against quantity" in words
    assert f"{fits[0]['alpha']:.2f}" in words
    assert "Without a win rate: a5_small." in words
    assert "the paper's slopes dashed" in words


def test_recipe_in_the_report_has_no_signatures_of_urls() -> None:
    signed = {"corpus": {"warc_dir": "https://host/crawl/?sig=s3cret"}, "list": ["a?b", 1, None]}
    assert shown_recipe(signed) == {
        "corpus": {"warc_dir": "https://host/crawl/"},
        "list": ["a?b", 1, None],
    }


def test_all_sections_go_into_one_page_each_once(home: Workspace) -> None:
    from datetime import datetime

    from humpback_pipeline.evaluation import render_report

    # What has not been made here is left out: models, lengths, diversity.
    sections = report_sections(home)
    ids = [section.id for section in sections]
    assert len(ids) == len(set(ids)) >= len(PARTS) - 3
    html = render_report(
        ReportData(title="x", created=datetime(2026, 1, 1), recipe_name="d", sections=sections)
    )
    for section in sections:
        assert html.count(f'<section id="{section.id}">') == 1
        assert f'<a href="#{section.id}">' in html


def test_what_another_release_wrote_costs_one_section_and_not_the_report(home: Workspace) -> None:
    frame = pl.DataFrame({"variant": ["x"]})
    write(home, "scaling", frame, fits=[], missing=[], short=[], judge=[])
    found = {section.id: section for section in report_sections(home)}
    assert "cannot be shown" in words_of(found["ablations"])
    assert "m1 − m0" in words_of(found["paired-tests"])
