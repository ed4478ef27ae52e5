"""Asset `selection_quality`: which rater and which scorer find the good pairs."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata, plot, sample_table
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.evaluation.paper import PAPER_SELECTION_QUALITY
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.augmentation import BACKWARD_MODEL
from humpback_pipeline.stages.checks.selection_quality import (
    UNSEEN,
    check_known_pairs_unseen,
    check_scorer_discriminates,
)
from humpback_pipeline.stages.iteration_names import calibration_name, model_name
from humpback_pipeline.stages.known_pairs import HARD, LABELLED
from humpback_pipeline.stages.seen_pairs import SEEN, seen_sentences
from humpback_pipeline.stages.selection_quality import (
    LABELLED_RATINGS_SCHEMA,
    SELECTION_QUALITY,
    misjudged_pairs,
    selection_plot,
    write_selection_quality,
)

GROUP = "evaluation"
MAX_ROWS = 200
NOTHING = "Not measured: the recipe names no such pairs."
NOT_REACHED = "not reached"
Row = Mapping[str, Any]


def selection_quality_asset(iterations: int) -> dg.AssetsDefinition:
    """The asset for raters M_0 … M_{T-1} and the base model."""

    @dg.asset(
        deps=[*(calibration_name(t) for t in range(1, iterations + 1)), BACKWARD_MODEL],
        check_specs=check_specs(SELECTION_QUALITY, *DATASET_CHECKS, UNSEEN, "scorer_discriminates"),
        description=(
            "Precision, recall and AUC of every rater with every scorer on labelled pairs (paper "
            "table 8), by kind of flaw and on harder pairs, and how often the ratings agree with "
            "known preferences. Pairs with a text of a seed that the models were trained on are "
            "left out; where too few others are left, the page says that the figures flatter."
        ),
        **asset_settings(GROUP, "vllm", "parquet", name=SELECTION_QUALITY, gpu=True),
    )
    @retried
    def selection_quality(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_selection_quality(opened, log_progress(context))
        ratings = opened.datasets.read(SELECTION_QUALITY)
        last = model_name(iterations - 1)
        misjudged = misjudged_pairs(opened, ratings, last)
        columns = ["rating", "set", "kind", "instruction", "output"]
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **figures(manifest.facts, ratings),
                f"bad_pairs_{last}_rates_highest": sample_table(
                    misjudged["bad_rated_high"], columns
                ),
                f"good_pairs_{last}_rates_lowest": sample_table(
                    misjudged["good_rated_low"], columns
                ),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(
                        opened, manifest, ["rater", "scorer", "pair_id"], LABELLED_RATINGS_SCHEMA
                    ),
                    check_known_pairs_unseen(manifest),
                    check_scorer_discriminates(manifest),
                ],
            ),
        )

    return selection_quality


def figures(facts: Mapping[str, Any], ratings: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    """Tables and plots of the facts of `selection_facts`, the most telling first."""
    comparison = facts["comparison"]
    paper = [
        {"rater": p.rater, "precision": p.precision, "recall": p.recall}
        for p in PAPER_SELECTION_QUALITY
    ]
    return {
        "quality": _table(_selection_row(row) for row in facts["quality"]),
        "paper": _table(paper),
        "scorers": _table(_selection_row(row) for row in comparison["labelled"]),
        "how_to_read": dg.MetadataValue.md(_how_to_read(facts)),
        "plot": _plot(ratings, facts, LABELLED),
        "auc_by_flaw": _table(_flaw_rows(comparison["by_flaw"])),
        "hard_set": _table(_selection_row(row) for row in comparison["hard"]),
        "hard_plot": _plot(ratings, facts, HARD),
        "hard_auc_by_flaw": _table(_flaw_rows(comparison["hard_by_flaw"])),
        "preferences": _table(_preference_row(row) for row in comparison["preferences"]),
    }


def _how_to_read(facts: Mapping[str, Any]) -> str:
    rows = facts["comparison"]["labelled"]
    sentences = [
        *seen_sentences(facts[SEEN]),
        f"Threshold: {facts['threshold_rule']}, found on the labelled pairs for each rater and "
        "scorer; the hard pairs are selected by the same rating.",
        "Brackets are 95 % intervals, which take pairs as independent: where several are made of "
        "one text, they are too narrow.",
        "The paper's rows are of its own 250 pairs, by its own LLaMA models and GPT-4.",
    ]
    if rows and rows[0]["few_pairs"]:
        n_good, n = rows[0]["n_positive"], rows[0]["n"]
        sentences.append(
            f"Only {n_good} good and {n - n_good} bad labelled pairs: read the intervals, not the "
            "figures; where they overlap, these pairs cannot tell two scorers apart."
        )
    if any(row["cross_validated"] for row in rows):
        sentences.append(
            "`calibrated` is fitted on the labelled pairs: its ratings of them are "
            "cross-validated, each by a fit without the pairs that share a text with it."
        )
    return " ".join(sentences)


def _selection_row(row: Row) -> dict[str, Any]:
    return {
        "rater": row["rater"],
        "scorer": f"{row['scorer']} (cross-validated)" if row["cross_validated"] else row["scorer"],
        # Of nothing, no share is good or bad.
        "precision": _with_interval(row, "precision") if row["n_selected"] else "–",
        **{name: _with_interval(row, name) for name in ("recall", "f1", "auc")},
        "rating from": NOT_REACHED if row["threshold"] is None else f"{row['threshold']:.2f}",
        "selected": row["n_selected"],
        "good": row["n_positive"],
        "pairs": row["n"],
        "not rated": row["n_errors"],
    }


def _preference_row(row: Row) -> dict[str, Any]:
    return {
        "rater": row["rater"],
        "scorer": row["scorer"],
        "agreement": f"{row['agreement']:.2f} [{_interval(row['interval'])}]",
        "where the shorter is preferred": row["agreement_when_shorter"],
        "such prompts": row["n_shorter"],
        "equal ratings": row["n_ties"],
        "prompts": row["n"],
    }


def _flaw_rows(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """One row a rater and scorer, one column a flaw: AUC, and the share that is selected."""
    table: dict[tuple[str, str], dict[str, Any]] = {}
    for row in rows:
        key = row["rater"], row["scorer"]
        entry = table.setdefault(key, {"rater": row["rater"], "scorer": row["scorer"]})
        column = f"{row['flaw']} (n = {row['n']})"
        entry[column] = f"{row['auc']:.2f} ({row['selected']:.0%} selected)"
    return list(table.values())


def _with_interval(row: Row, name: str) -> str:
    return f"{row[name]:.2f} [{_interval(row[f'{name}_interval'])}]"


def _interval(bounds: Iterable[float]) -> str:
    return "–".join(f"{bound:.2f}" for bound in bounds)


def _table(rows: Iterable[Row]) -> dg.MetadataValue:
    listed = list(rows)
    if not listed:
        return dg.MetadataValue.md(NOTHING)
    frame = pl.DataFrame(listed, infer_schema_length=None)
    return dg.MetadataValue.md(render_markdown_table(frame, max_rows=MAX_ROWS, decimals=2))


def _plot(ratings: pl.DataFrame, facts: Mapping[str, Any], known_set: str) -> dg.MetadataValue:
    if not facts["comparison"][known_set]:
        return dg.MetadataValue.md(NOTHING)
    png = selection_plot(ratings, facts, known_set)
    return plot(png, "precision against recall, a panel for each rater, a curve for each scorer")
