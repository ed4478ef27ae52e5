"""The report on what judging cost: verdicts, tokens, dollars."""

from __future__ import annotations

from typing import Any

from humpback_pipeline.evaluation.report_sections import Note, ReportSection, table_of_rows
from humpback_pipeline.stages.head_to_head import HEAD_TO_HEAD
from humpback_pipeline.stages.report_parts.shared import current, present
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.workspace import Workspace

FREE = (
    "No price is known: a judge on this machine has none; for an endpoint give "
    "evaluation.judge.usd_per_million_prompt_tokens and usd_per_million_completion_tokens."
)


def judge_costs(workspace: Workspace) -> ReportSection | None:
    """Verdicts, tokens and dollars of the win rates and the head-to-head matrix."""
    manifests = [m for name in (WIN_RATES, HEAD_TO_HEAD) if (m := current(workspace, name))]
    rows: list[dict[str, Any]] = [
        {
            "Judged": f"{manifest.name}: {row['model']}",
            "Verdicts": row["n_verdicts"],
            "Asked anew": row["n_new"],
            "Prompt tokens": row["n_prompt_tokens"],
            "Completion tokens": row["n_completion_tokens"],
            "USD": row["usd"],
            "USD, asked anew": row["new_usd"],
        }
        for manifest in manifests
        for row in manifest.facts["costs"]
    ]
    if not rows:
        return None
    priced = any(row["USD"] is not None for row in rows)
    return ReportSection(
        id="judge-costs",
        title="What judging cost",
        after="timings",
        lead="Of both orders of every pair. What the ledger already knew was not asked again.",
        blocks=present(
            [
                table_of_rows(rows, decimals=4),
                None if priced else Note(text=FREE),
            ]
        ),
    )
