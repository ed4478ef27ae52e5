"""What the page of `human_evaluation` shows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.metadata import counts_table, plot
from humpback_pipeline.evaluation.human_plots import three_way_bars
from humpback_pipeline.evaluation.human_shares import FEW_PAIRS
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.human_evaluation import judgements_folder
from humpback_pipeline.storage import Manifest

HOW_TO_JUDGE = (
    "`make judge` opens a page on which a person judges the pairs from the keyboard; "
    "`for_annotators/` has them as CSV and as a Label Studio project too. Put finished CSV and "
    "Label Studio files into {folder}, then materialise `human_evaluation`."
)
PAPER = (
    "The paper (section 3.4) asks the same question and draws such bars of Humpback against other "
    "published models: other models, prompts and people, so its shares are not beside these."
)
Row = Mapping[str, Any]


def human_figures(workspace: Workspace, manifest: Manifest) -> dict[str, dg.MetadataValue]:
    """The page's tables and plot; without judgements, how to make some."""
    facts = manifest.facts
    progress = {
        "files": facts["n_files"],
        "records": facts["n_records"],
        "judgements": manifest.rows,
        "unanswered or skipped": facts["n_unanswered"],
        "replaced by a later one": facts["n_replaced"],
        "bad": sum(facts["n_bad"].values()),
        "pairs judged": facts["n_judged"],
        f"by {facts['annotators_per_pair']} or more": facts["n_complete"],
        "pairs": facts["n_pairs"],
    }
    page = {
        "progress": _table([progress]),
        "how_to_judge": dg.MetadataValue.md(how_to_judge(workspace)),
        "folder": dg.MetadataValue.path(str(judgements_folder(workspace))),
    }
    if facts["n_bad"]:
        page["bad_by_reason"] = counts_table(facts["n_bad"])
        page["bad"] = _table(facts["bad"])
    if not facts["shares"]:
        return {"judgements": dg.MetadataValue.md("There are no judgements yet."), **page}
    bars = three_way_bars(facts["shares"])
    alt = "; ".join(map(_in_words, facts["shares"]))
    return {
        "shares": _table(map(_share_row, facts["shares"])),
        "plot": plot(bars, f"three-way bars of people's judgements: {alt}"),
        "how_to_read": dg.MetadataValue.md(" ".join(reading_notes(facts))),
        "annotators": _table([_annotators_row(facts["annotators"])]),
        "by_annotators": _table(map(_two_way_row, facts["by_annotators"])),
        "judge": _table(map(_judge_row, facts["judge"])),
        "first_preferred": _table(map(_first_row, facts["shares"])),
        **page,
    }


def how_to_judge(workspace: Workspace) -> str:
    """Markdown on how to judge pairs and where finished judgements go."""
    is_own = workspace.recipe.evaluation.human.judgements is None
    return HOW_TO_JUDGE.format(folder="`judgements/`" if is_own else "the recipe's folder")


def reading_notes(facts: Row) -> list[str]:
    """Sentences on what the figures are of, and how far they can be trusted."""
    notes = [
        "A pair's verdict is the answer most of its annotators gave, no difference where two are "
        "as frequent. Brackets are 95 % intervals over pairs (Wilson's; for κ and α the "
        "bootstrap's). p: sign test of wins against losses, and as one of several (Holm). Win "
        "rate: no difference counts half.",
    ]
    if few := [row for row in facts["shares"] if row["few_pairs"]]:
        named = ", ".join(f"{row['comparison']} (n = {row['n']})" for row in few)
        notes.append(
            f"Few pairs: {named}. Below {FEW_PAIRS} an interval can be 20 points wide or more; "
            "where those of win and loss overlap, nothing is decided."
        )
    if not facts["annotators"]["n_pairs"]:
        notes.append("No pair has two annotators, so nobody's agreement is known.")
    if facts["judge"]:
        notes.append(
            "The judge sees no difference where its preference is within "
            f"{facts['judge_draw_band']:g} of 1.5; `same side` needs no such band."
        )
    else:
        notes.append("The judge has judged none of these pairs.")
    return [*notes, PAPER]


def _in_words(row: Row) -> str:
    return (
        f"{row['comparison']}: {row['win']:.0%} win, {row['no_difference']:.0%} no difference, "
        f"{row['loss']:.0%} loss of {row['n']} pairs"
    )


def _share_row(row: Row) -> dict[str, Any]:
    return {
        "comparison": row["comparison"],
        **{
            title: _percent(row[name], row[f"{name}_interval"])
            for name, title in (
                ("win", "win"),
                ("no_difference", "no difference"),
                ("loss", "loss"),
                ("win_rate", "win rate"),
            )
        },
        "p": row["p_value"],
        "p (Holm)": row["p_adjusted"],
        "pairs": row["n"],
        "judgements": row["n_judgements"],
    }


def _first_row(row: Row) -> dict[str, Any]:
    return {
        "comparison": row["comparison"],
        "prefers what is shown first": _percent(row["first_share"], row["first_share_interval"]),
    }


def _annotators_row(row: Row) -> dict[str, Any]:
    return {
        "annotators": row["n_annotators"],
        "pairs of two or more": row["n_pairs"],
        "agreement": _percent(row["agreement"], row["agreement_interval"]),
        "Krippendorff's α": _number(row["alpha"], row["alpha_interval"]),
    }


def _two_way_row(row: Row) -> dict[str, Any]:
    return {"first": row["first"], "second": row["second"], **_agreement(row)}


def _judge_row(row: Row) -> dict[str, Any]:
    return {
        "comparison": row["comparison"],
        **_agreement(row),
        "win rate, people": f"{row['win_rate_people']:.0%}",
        "win rate, judge": f"{row['win_rate_judge']:.0%}",
        "judge sees no difference": row["judge_draws"],
        "people see one": row["n_decided"],
        "same side": _percent(row["same_side"], row["same_side_interval"]),
    }


def _agreement(row: Row) -> dict[str, Any]:
    return {
        "pairs": row["n"],
        "agreement": _percent(row["agreement"], row["agreement_interval"]),
        "Cohen's κ": _number(row["kappa"], row["kappa_interval"]),
    }


def _percent(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None or interval is None:
        return "–"
    low, high = interval
    return f"{100 * value:.0f} % [{100 * low:.0f}–{100 * high:.0f}]"


def _number(value: float | None, interval: Sequence[float] | None) -> str:
    if value is None or interval is None:
        return "–"
    low, high = interval
    return f"{value:.2f} [{low:.2f} to {high:.2f}]"


def _table(rows: Iterable[Row]) -> dg.MetadataValue:
    listed = list(rows)
    if not listed:
        return dg.MetadataValue.md("None.")
    frame = pl.DataFrame(listed, infer_schema_length=None)
    return dg.MetadataValue.md(render_markdown_table(frame, max_rows=100))
