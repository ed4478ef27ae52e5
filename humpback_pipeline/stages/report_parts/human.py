"""The report on what people judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from humpback_pipeline.evaluation.report_sections import (
    Figure,
    Note,
    ReportSection,
    caution,
    table_of_rows,
)
from humpback_pipeline.stages.human_evaluation import HUMAN_EVALUATION
from humpback_pipeline.stages.report_parts.shared import (
    current,
    older_than_its_inputs,
    percent,
    present,
)
from humpback_pipeline.stages.workspace import Workspace

Row = Mapping[str, Any]
HOW = "Nobody has judged a pair yet. make judge opens a page to do so, from the keyboard."


def human_evaluation(workspace: Workspace) -> ReportSection | None:
    """Win, no difference and loss, agreement among people and with the judge."""
    manifest = current(workspace, HUMAN_EVALUATION)
    if manifest is None:
        return None
    facts = manifest.facts
    if not facts["shares"]:
        return ReportSection(
            id="human", title="Judged by people", after="win-rates", blocks=[Note(text=HOW)]
        )
    from humpback_pipeline.evaluation.human_plots import three_way_bars

    alt = "; ".join(
        f"{row['comparison']}: {row['win']:.0%} win, {row['no_difference']:.0%} no difference, "
        f"{row['loss']:.0%} loss"
        for row in facts["shares"]
    )
    few = any(row["few_pairs"] for row in facts["shares"])
    people = facts["annotators"]
    return ReportSection(
        id="human",
        title="Judged by people",
        after="win-rates",
        lead=f"{facts['n_judged']:,} of {facts['n_pairs']:,} blinded pairs; a pair's verdict is "
        "what most of its annotators said. Brackets are 95 % intervals over pairs.",
        blocks=present(
            [
                older_than_its_inputs(workspace, manifest),
                table_of_rows([_shares(row) for row in facts["shares"]], decimals=3),
                Figure(png=three_way_bars(facts["shares"]), alt=f"People's judgements: {alt}"),
                caution(
                    "Few pairs: where the intervals of win and loss overlap, nothing is decided."
                )
                if few
                else None,
                Note(
                    text="Annotators agree on "
                    + _interval(people, "agreement")
                    + f" of {people['n_pairs']} pairs that two or more judged."
                )
                if people["n_pairs"]
                else Note(text="No pair has two annotators, so their agreement is not known."),
                table_of_rows([_judge(row) for row in facts["judge"]], "People and the judge"),
            ]
        ),
    )


def _shares(row: Row) -> dict[str, Any]:
    return {
        "Comparison": row["comparison"],
        "Win": _interval(row, "win"),
        "No difference": _interval(row, "no_difference"),
        "Loss": _interval(row, "loss"),
        "p (sign test)": row["p_value"],
        "Pairs": row["n"],
        "Judgements": row["n_judgements"],
    }


def _judge(row: Row) -> dict[str, Any]:
    return {
        "Comparison": row["comparison"],
        "Pairs": row["n"],
        "Agreement": _interval(row, "agreement"),
        "Same side, where both see one": _interval(row, "same_side"),
    }


def _interval(row: Row, name: str) -> str:
    low, high = row[f"{name}_interval"] or (None, None)
    return percent(row[name], low, high)
