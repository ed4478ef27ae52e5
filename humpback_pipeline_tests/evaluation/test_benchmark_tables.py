"""Tables and plots of benchmarks: intervals, parts of groups, changes between models."""

from __future__ import annotations

import polars as pl
import pytest

from humpback_pipeline.evaluation.benchmark_tables import (
    MAX_PLOTTED,
    benchmark_table,
    by_part,
    changes_table,
    sample_size_note,
)
from humpback_pipeline.evaluation.lm_eval_results import task_result
from humpback_pipeline.evaluation.share_changes import adjusted, share_change
from humpback_pipeline.evaluation.share_plots import Share, share_dots


def results(rows: list[tuple[str, str, float, int, bool]]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "model": model,
                "task": task,
                "metric": "acc",
                "score": score,
                "score_error": 0.1,
                "low": score - 0.1,
                "high": score + 0.1,
                "n": n,
                "is_group": is_group,
                "higher_is_better": True,
            }
            for model, task, score, n, is_group in rows
        ]
    )


def test_models_stand_side_by_side_with_their_intervals() -> None:
    table = benchmark_table(
        results([("base", "piqa", 0.5, 400, False), ("m0", "piqa", 0.6, 400, False)])
    )
    assert table.columns == ["task", "metric", "n", "better", "base", "m0"]
    assert table.row(0) == (
        "piqa", "acc", 400, "higher", "0.500 [0.40, 0.60]", "0.600 [0.50, 0.70]",
    )  # fmt: skip


def test_few_questions_are_named() -> None:
    frame = results([("m0", "piqa", 0.5, 400, False), ("m0", "mine", 0.5, 24, False)])
    assert "Fewer than 100 questions in mine:" in sample_size_note(frame)
    assert sample_size_note(frame.head(1)) == "Every task has at least 100 questions."


def test_plot_of_a_large_group_shows_the_group_and_not_its_parts() -> None:
    parts = [("m0", f"mmlu_part{i}", 0.5, 100, False) for i in range(MAX_PLOTTED)]
    frame = results([*parts, ("m0", "mmlu", 0.5, 2_400, True), ("m0", "piqa", 0.5, 400, False)])
    assert by_part(frame, "acc")["task"].to_list() == ["mmlu", "piqa"]
    assert by_part(frame.head(3), "acc").height == 3
    assert by_part(frame, "exact_match").is_empty()


def test_change_of_a_share_is_tested_on_the_questions_that_changed() -> None:
    first = [True] * 10 + [False] * 20
    second = [True] * 8 + [False] * 2 + [True] * 12 + [False] * 8
    change = share_change(first, second)
    assert (change.n, change.gained, change.lost) == (30, 12, 2)
    assert change.difference == pytest.approx(10 / 30)
    assert change.low < change.difference < change.high
    assert change.p_value == pytest.approx(0.012939453125)  # binomial(14, 0.5), 2 or fewer, twice
    same = share_change(first, first)
    assert (same.p_value, same.difference) == (1, 0)
    assert same.low < 0 < same.high
    pair = adjusted([change, same])
    assert pair[0].p_adjusted == pytest.approx(2 * change.p_value)
    rows = [
        {"task": "piqa", "metric": "acc", "before": "m0", "after": "m1", **vars_of(c)}
        for c in reversed(pair)
    ]
    table = changes_table(rows)
    assert table["gained"].to_list() == [12, 0]
    assert table["change"][0].startswith("+0.333 [")


@pytest.mark.parametrize(
    ("both", "gained", "lost", "neither", "low", "high"),
    [
        (36, 12, 2, 0, 0.0569, 0.3404),
        (1, 1, 7, 12, -0.5069, -0.0256),  # airways before and after, Bentur et al. (2009)
        (54, 0, 0, 0, -0.0664, 0.0664),  # no change, and yet no certainty
    ],
)
def test_interval_of_a_change_is_newcombes_for_paired_shares(
    both: int, gained: int, lost: int, neither: int, low: float, high: float
) -> None:
    first = [True] * both + [False] * gained + [True] * lost + [False] * neither
    second = [True] * both + [True] * gained + [False] * lost + [False] * neither
    change = share_change(first, second)
    assert (change.low, change.high) == pytest.approx((low, high), abs=6e-5)


def vars_of(change: object) -> dict[str, object]:
    return {name: getattr(change, name) for name in type(change).__dataclass_fields__}  # type: ignore[attr-defined]


def test_metric_without_a_standard_error_has_no_interval_and_a_mean_has_one() -> None:
    sample = {"doc_id": 0, "filter": "none", "metrics": ["diff", "ppl"], "diff": 2.5, "ppl": (1, 2)}
    found = task_result(
        {
            "results": {
                "mine": {
                    "alias": "mine",
                    "sample_len": 1,
                    "diff,none": 2.5,
                    "diff_stderr,none": 0.5,
                    "ppl,none": 7.0,
                    "ppl_stderr,none": "N/A",
                }
            },
            "samples": {"mine": [sample]},
            "higher_is_better": {"mine": {"diff": False, "ppl": False}},
            "group_subtasks": {"mine": []},
        }
    )
    diff, ppl = found.measures
    assert (diff.low, diff.high) == pytest.approx((2.5 - 0.98, 2.5 + 0.98), abs=1e-3)
    assert (ppl.low, ppl.high, ppl.standard_error, ppl.n) == (None, None, None, 1)
    assert [(s.metric, s.score) for s in found.scores] == [("diff", 2.5)]


def test_dots_are_drawn_for_one_and_many_series() -> None:
    one = share_dots([Share("piqa", "m0", 0.5, 0.4, 0.6)], "One", reference=0.5)
    many = share_dots(
        [Share(f"task {i}", f"m{j}", 0.0, 0.0, 0.2) for i in range(3) for j in range(8)], "Many"
    )
    assert one.startswith(b"\x89PNG")
    assert len(many) > len(one)
    assert share_dots([], "None").startswith(b"\x89PNG")
