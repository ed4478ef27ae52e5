"""The report on how long instructions, outputs and answers are."""

from __future__ import annotations

from humpback_pipeline.evaluation.report_sections import Note, ReportSection, table_of_rows
from humpback_pipeline.stages.data_analysis import DATA_STATISTICS
from humpback_pipeline.stages.length_histograms import LENGTH_HISTOGRAMS
from humpback_pipeline.stages.report_parts.shared import current, interval, kept_plot, present
from humpback_pipeline.stages.workspace import Workspace

ALT = {
    "data": "Histograms of the lengths of instructions and outputs of each data set",
    "answers": "Histograms of the lengths of each model's answers and of the references",
}


def lengths(workspace: Workspace) -> ReportSection | None:
    """Means, medians and quantiles, and the histograms."""
    manifest = current(workspace, LENGTH_HISTOGRAMS)
    if manifest is None:
        return None
    facts = manifest.facts
    rows = [
        {
            "Texts of": row["dataset"],
            "Part": row["field"],
            "Unit": row["unit"],
            "Texts": row["n"],
            "Mean": row["mean"],
            "95 % interval": interval(row["low"], row["high"], 0),
            "Median": row["median"],
            "5 %": row["p5"],
            "95 %": row["p95"],
        }
        for row in facts["summary"]["rows"]
    ]
    note = facts["token_note"]
    statistics = current(workspace, DATA_STATISTICS)
    plots = facts["plots"]
    return ReportSection(
        id="lengths",
        title="Lengths",
        after="statistics",
        blocks=present(
            [
                kept_plot(
                    statistics.facts.get("plot") if statistics else None,
                    "Mean length and deviation of each data set, the paper's beside ours",
                ),
                *(kept_plot(plots.get(name), alt) for name, alt in ALT.items()),
                table_of_rows(rows, "Lengths in numbers", decimals=0, is_folded=True),
                Note(text=f"No tokens were counted: {note}") if note else None,
            ]
        ),
    )
