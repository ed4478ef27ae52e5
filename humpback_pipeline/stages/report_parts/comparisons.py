"""The report on models against each other: paired tests, the judge, the matrix, the categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from humpback_pipeline.evaluation.report_sections import (
    Note,
    ReportSection,
    Table,
    caution,
    table_of_rows,
)
from humpback_pipeline.stages.head_to_head import HEAD_TO_HEAD
from humpback_pipeline.stages.improvement import IMPROVEMENT
from humpback_pipeline.stages.report_parts.shared import (
    current,
    interval,
    kept_plot,
    percent,
    present,
)
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.workspace import Workspace

Row = Mapping[str, Any]
_TESTS = (
    "p: two-sided sign-flip permutation test of the mean difference on the same prompts; Holm: "
    "corrected for all rows of the table. A difference with p above 0.05 may well be chance."
)


def paired_tests(workspace: Workspace) -> ReportSection | None:
    """Each model against the one before, on the same prompts; and how the judge behaves."""
    manifest = current(workspace, WIN_RATES)
    if manifest is None:
        return None
    facts = manifest.facts
    return ReportSection(
        id="paired-tests",
        title="Models compared on the same prompts",
        after="win-rates",
        lead=_TESTS,
        blocks=present(
            [
                table_of_rows([_comparison(row) for row in facts["comparisons"]], decimals=3),
                caution(facts["small_sample"]) if facts["small_sample"] else None,
                _behaviour(facts),
            ]
        ),
    )


def head_to_head(workspace: Workspace) -> ReportSection | None:
    """Every model against every other one."""
    manifest = current(workspace, HEAD_TO_HEAD)
    if manifest is None:
        return None
    facts = manifest.facts
    rows: Sequence[Row] = facts["matrix"]["rows"]
    models: list[str] = facts["models"]
    return ReportSection(
        id="head-to-head",
        title="Head to head",
        after="win-rates",
        lead="How often the row's model is preferred to the column's, in percent with the 95 % "
        f"interval; 50 is as good. Judge: {facts['judge']}, both orders averaged.",
        blocks=present(
            [
                _matrix(rows, models),
                kept_plot(facts["plot"], "How often each model is preferred to each other one"),
                table_of_rows(
                    [_pair(row) for row in rows if _is_later(row, models)], _TESTS, decimals=3
                ),
                caution(facts["small_sample"]) if facts["small_sample"] else None,
            ]
        ),
    )


def improvement(workspace: Workspace) -> ReportSection | None:
    """Prompts that the first model lost and the last one wins, by category."""
    from humpback_pipeline.evaluation.paper import PAPER_IMPROVEMENT

    manifest = current(workspace, IMPROVEMENT)
    if manifest is None:
        return None
    facts, paper = manifest.facts, PAPER_IMPROVEMENT
    everything = facts["by_category"][-1]
    won, lost = everything["turned_into_win"], everything["turned_into_loss"]
    few = any(row["few_prompts"] for row in facts["by_category"])
    rows = [_category(row) for row in facts["by_category"]]
    rows.append(
        {
            "Prompts about": f"paper: all ({', '.join(paper.categories)})",
            "Prompts": paper.n_prompts,
            "Lost, now won": paper.n_turned,
        }
    )
    return ReportSection(
        id="improvement",
        title="Improvement over the seed model, by category",
        after="win-rates",
        lead=f"{facts['after']} beside {facts['before']}, each judged against the reference: {won} "
        f"losses became wins and {lost} wins became losses (exact sign test "
        f"p = {facts['sign_test_p']:.3f}). A judge that tosses coins turns as many one way as the "
        "other: what counts is the difference.",
        blocks=present(
            [
                table_of_rows(rows),
                kept_plot(facts["plot"], "Prompts lost before and won now, by category"),
                caution("Categories marked few hold so few prompts that their rates are guesses.")
                if few
                else None,
                Note(
                    text=f"The categories of {facts['categories_by']['words']} prompts are told "
                    "by their words, which is right for about two of three."
                )
                if facts["categories_by"]["words"]
                else None,
            ]
        ),
    )


def _comparison(row: Row) -> dict[str, Any]:
    return {
        "Compared": f"{row['compared']} − {row['against']}",
        "Difference, points": f"{row['difference']:+.1f}".replace("-", "−"),
        "95 % interval": interval(row["low"], row["high"]),
        "p": row["p_value"],
        "p, Holm": row["p_adjusted"],
        "Better": row["n_a_better"],
        "Worse": row["n_b_better"],
        "Same": row["n_equal"],
        "Prompts": row["n"],
    }


def _behaviour(facts: Row) -> Note | None:
    bias = facts["position_bias_details"]
    if bias is None:
        return None
    low, high = bias["interval"]
    return Note(
        text=f"The judge: position bias {bias['bias']:+.3f} (95 % {low:+.3f} to {high:+.3f}; 0 is "
        f"none, +1 always the first); the order alone decides {bias['flip_rate']:.0%} of its "
        f"verdicts; {facts['n_refused']} refused. Every win rate averages both orders."
    )


def _matrix(rows: Sequence[Row], models: list[str]) -> Table | None:
    found = {(row["model"], row["opponent"]): row for row in rows}
    table = [
        {"Model": model, **{other: _rate(found.get((model, other))) for other in models}}
        for model in models
    ]
    return table_of_rows(table)


def _rate(row: Row | None) -> str:
    return "–" if row is None else f"{row['rate']:.1f} [{row['low']:.0f}–{row['high']:.0f}]"


def _is_later(row: Row, models: list[str]) -> bool:
    return models.index(row["model"]) > models.index(row["opponent"])


def _pair(row: Row) -> dict[str, Any]:
    return {
        "Pair": f"{row['model']} against {row['opponent']}",
        "Preferred, %": _rate(row),
        "Wins": row["n_wins"],
        "Losses": row["n_losses"],
        "Draws": row["n_draws"],
        "p": row["p_value"],
        "p, Holm": row["p_adjusted"],
    }


def _category(row: Row) -> dict[str, Any]:
    return {
        "Prompts about": row["group"].replace("_", " "),
        "Prompts": row["n"],
        "Lost, now won": row["turned_into_win"],
        "Won, now lost": row["turned_into_loss"],
        "Of the lost, won": percent(
            row["turned_share"], row["turned_share_low"], row["turned_share_high"]
        ),
        "Of all, improved": percent(
            row["improved_share"], row["improved_share_low"], row["improved_share_high"]
        ),
        "Few": "few" if row["few_prompts"] else "",
    }
