"""The report on evaluation prompts that are in the training data."""

from __future__ import annotations

import polars as pl

from humpback_pipeline.evaluation.report_sections import (
    Figure,
    Note,
    ReportSection,
    Samples,
    Table,
    caution,
    table_of_rows,
)
from humpback_pipeline.stages.contamination import CONTAMINATION
from humpback_pipeline.stages.report_parts.shared import columns_of, current, present
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.workspace import Workspace

N_SAMPLES = 5
_COUNTS = {
    "dataset": "Data set",
    "pairs": "Pairs",
    "contaminated_pairs": "Contaminated",
    "contaminated_prompts": "Prompts found in it",
}


def contamination(workspace: Workspace) -> ReportSection | None:
    """Counts for each set, samples, and win rates without such prompts if there are any."""
    from humpback_pipeline.evaluation.contamination_plot import contamination_bars

    manifest = current(workspace, CONTAMINATION)
    if manifest is None:
        return None
    facts = manifest.facts
    overlaps = workspace.datasets.read(CONTAMINATION)
    n = facts["prompts"][0]["contaminated"]
    found = ", ".join(
        f"{row['contaminated']:,} of {row['n']:,} {row['prompts']} prompts"
        for row in facts["prompts"]
    )
    lead = (
        f"A prompt counts as found if it or its reference shares {facts['ngram_words']} words in "
        f"a row with a pair. Found: {found}."
    )
    bars = contamination_bars(facts["counts"], facts["prompts"][0]["n"])
    warning = "What is measured on those prompts is flattered: the models may know the answers."
    return ReportSection(
        id="contamination",
        title="Contamination",
        after="curated",
        lead=lead,
        blocks=present(
            [
                caution(warning) if n else None,
                table_of_rows(columns_of(facts["counts"], _COUNTS)),
                Figure(png=bars, alt="Share of the prompts found in each set of pairs")
                if n
                else None,
                _clean_win_rates(workspace, overlaps) if n else None,
                _samples(overlaps),
                Note(text="Contaminated seeds are reported only, as seed.contaminated says.")
                if n and facts["policy"] == "report"
                else None,
            ]
        ),
    )


def _clean_win_rates(workspace: Workspace, overlaps: pl.DataFrame) -> Table | None:
    """Win rates over the prompts that no model has seen, beside those over all."""
    from humpback_pipeline.evaluation import win_rate

    rates = current(workspace, WIN_RATES)
    if rates is None:
        return None
    judged = workspace.datasets.read(WIN_RATES)
    seen = overlaps.filter(pl.col("prompts") == "evaluation")["prompt_id"].unique()
    rows = []
    for (model,), frame in judged.group_by(["model"], maintain_order=True):
        clean = frame.filter(~pl.col("prompt_id").is_in(seen.implode()))["preference"].drop_nulls()
        if clean.is_empty():
            continue
        measured = win_rate(clean.to_list())
        low, high = measured.interval
        rows.append(
            {
                "Model": str(model),
                "Win rate without them, %": measured.rate,
                "95 % interval": f"{low:.1f} … {high:.1f}",
                "Prompts": measured.n,
                "Win rate over all, %": win_rate(frame["preference"].to_list()).rate,
            }
        )
    return table_of_rows(rows, "Over the prompts that are not in the training data", decimals=1)


def _samples(overlaps: pl.DataFrame) -> Samples | None:
    if overlaps.is_empty():
        return None
    items = [
        (
            f"{row['prompt_id']} ({row['part']}) in {row['pair_id']} of {row['dataset']}",
            [(f"{row['n_words']} words, {row['covered']:.0%} of the {row['part']}", row["words"])],
        )
        for row in overlaps.head(N_SAMPLES).iter_rows(named=True)
    ]
    return Samples(title="Prompts that are covered most", items=items)
