"""The report on ablations: each study's models, and how quality grows with data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import polars as pl

from humpback_pipeline.evaluation.report_sections import (
    Block,
    Figure,
    Note,
    ReportSection,
    caution,
    table_of_rows,
)
from humpback_pipeline.stages.ablation_names import SCALING
from humpback_pipeline.stages.report_parts.shared import (
    columns_of,
    current,
    interval,
    older_than_its_inputs,
    present,
)
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

Row = Mapping[str, Any]
HOW_TO_RUN = (
    "No ablation has been run. Name variants under ablations in the recipe, run make ablations, "
    "then materialise report again."
)
_FITS = {
    "study": "Study",
    "series": "Series",
    "alpha": "α",
    "low": "95 % from",
    "high": "to",
    "scatter": "Scatter",
}


def ablations(workspace: Workspace) -> ReportSection:
    """A table and bars for each study, the curves with the paper's slopes."""
    manifest = current(workspace, SCALING)
    blocks = [Note(text=HOW_TO_RUN)] if manifest is None else _studies(workspace, manifest)
    return ReportSection(
        id="ablations",
        title="Ablations and scaling",
        after="diversity",
        lead=""
        if manifest is None
        else "Win rates in percent over the references, with 95 % "
        "intervals; p is of the paired test against the final model, Holm-corrected over all.",
        blocks=present(blocks),
    )


def _studies(workspace: Workspace, manifest: Manifest) -> Sequence[Block | None]:
    from humpback_pipeline.evaluation.ablations import STUDY_TITLES

    table = workspace.datasets.read(SCALING)
    facts = manifest.facts
    blocks: list[Block | None] = [older_than_its_inputs(workspace, manifest)]
    for study in table["study"].unique(maintain_order=True):
        title = STUDY_TITLES[study]
        rows = table.filter(pl.col("study") == study).to_dicts()
        fits = [fit for fit in facts["fits"] if fit["study"] == study]
        blocks += _study(study, title, rows, fits)
    blocks.append(table_of_rows(columns_of(facts["fits"], _FITS), "Fits of w = α·ln(N) + C"))
    if facts["missing"]:
        blocks.append(caution(f"Without a win rate: {', '.join(facts['missing'])}."))
    return blocks


def _study(
    study: str, title: str, rows: Sequence[Row], fits: Sequence[Row]
) -> Iterator[Block | None]:
    from humpback_pipeline.evaluation.ablation_plots import scaling_curves, study_bars
    from humpback_pipeline.evaluation.paper_ablations import PAPER_FINDINGS

    yield table_of_rows([_variant(row) for row in rows], title)
    if study in PAPER_FINDINGS:
        yield Note(text=f"The paper: {PAPER_FINDINGS[study]}")
    yield Figure(png=study_bars(rows, title), alt=f"Win rates of the study {title.lower()}")
    if fits:
        png = scaling_curves(rows, fits, f"{title}: win rate against size")
        alt = f"Win rate against training examples, {title.lower()}; the paper's slopes dashed"
        yield Figure(png=png, alt=alt)


def _variant(row: Row) -> dict[str, Any]:
    return {
        "Variant": row["variant"],
        "Seeds": row["n_seeds"],
        "Augmented": row["n_augmented"],
        "Win rate": row["rate"],
        "95 % interval": interval(row["low"], row["high"]),
        "Against the final": row["versus_final"],
        "p, Holm": row["p_adjusted"],
        "Paper": row["paper_rate"],
        "Prompts": row["n"],
    }
