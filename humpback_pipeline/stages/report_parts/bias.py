"""The report on toxic words and mentions of groups in the data."""

from __future__ import annotations

from typing import Any

import polars as pl

from humpback_pipeline.evaluation.report_sections import (
    Figure,
    Note,
    ReportSection,
    table_of_rows,
)
from humpback_pipeline.stages.data_bias import DATA_BIAS
from humpback_pipeline.stages.report_parts.shared import current, percent, present
from humpback_pipeline.stages.workspace import Workspace

MAX_PLOTTED_GROUPS = 14
TITLE = "Toxic words, pronouns and mentions"
CAVEAT = (
    "Counted by word lists, in English: irony, quotations and clean words for ugly things are "
    "missed. Compare data sets by them; do not call one clean. Brackets: 95 % intervals."
)


def data_bias(workspace: Workspace) -> ReportSection | None:
    """Toxic texts, female pronouns and mentions, a column for each data set."""
    if current(workspace, DATA_BIAS) is None:
        return None
    # A group that nothing mentions says nothing: it is left out, not shown as a row of zeros.
    rows = (
        workspace.datasets.read(DATA_BIAS)
        .filter(pl.col("share").is_not_null())
        .filter((pl.col("hits").sum().over("measure", "group") > 0) | (pl.col("group") == ""))
    )
    table = [
        _row(str(measure), str(group), own)
        for (measure, group), own in rows.group_by(["measure", "group"], maintain_order=True)
    ]
    return ReportSection(
        id="bias",
        title="Bias and toxicity of the data",
        after="diversity",
        lead=CAVEAT,
        blocks=present(
            [
                _plot(rows),
                table_of_rows(table, "All measures", is_folded=True)
                or Note(text="Nothing was counted."),
            ]
        ),
    )


def _row(measure: str, group: str, rows: pl.DataFrame) -> dict[str, Any]:
    return {
        "Measure": measure.replace("_", " "),
        "Group": group,
        **{
            row["dataset"]: f"{percent(row['share'], row['low'], row['high'])}, {row['hits']:,} of "
            f"{row['n']:,}"
            for row in rows.iter_rows(named=True)
        },
    }


def _plot(rows: pl.DataFrame) -> Figure | None:
    from humpback_pipeline.evaluation.data_bias import FEMALE_PRONOUNS, MENTIONS, TOXIC
    from humpback_pipeline.evaluation.share_plots import Share, share_dots

    mentioned = (
        rows.filter(pl.col("measure") == MENTIONS)
        .group_by("group")
        .agg(pl.col("hits").sum())
        .sort("hits", "group", descending=[True, False])
    )
    groups = ["", *mentioned["group"].head(MAX_PLOTTED_GROUPS)]
    shown = rows.filter(
        pl.col("measure").is_in([TOXIC, FEMALE_PRONOUNS, MENTIONS]), pl.col("group").is_in(groups)
    )
    dots = [
        Share(
            row["group"] or str(row["measure"]).replace("_", " "),
            row["dataset"],
            row["share"],
            row["low"],
            row["high"],
        )
        for row in shown.iter_rows(named=True)
    ]
    if not dots:
        return None
    return Figure(png=share_dots(dots, TITLE), alt=f"{TITLE} in each data set, with 95 % intervals")
