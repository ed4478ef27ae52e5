"""Asset `length_histograms`: how long instructions, outputs and answers are."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, shards_with
from humpback_pipeline.assets.data_analysis import picture
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.evaluation import PAPER_DATA_STATISTICS, render_markdown_table
from humpback_pipeline.evaluation.length_histograms import HISTOGRAM_SCHEMA
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.augmentation import AUGMENTED_SET
from humpback_pipeline.stages.length_histograms import LENGTH_HISTOGRAMS, write_length_histograms

GROUP = "evaluation"
Row = Mapping[str, Any]


def length_histograms_asset(pairs: list[str], responses: list[str]) -> dg.AssetsDefinition:
    """Of the seeds, the sets of `pairs` (augmented and curated) and the datasets of answers."""

    @dg.asset(
        deps=[seed_pairs, *pairs, *responses],
        check_specs=check_specs(LENGTH_HISTOGRAMS, *DATASET_CHECKS),
        description=(
            "Histograms of the lengths of instructions and outputs of the seeds, the augmented "
            "and the curated sets, and of each model's answers, the paper's means beside."
        ),
        **asset_settings(GROUP, "polars", "parquet", name=LENGTH_HISTOGRAMS),
    )
    @retried
    def length_histograms(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = shards_with(context, opened, AUGMENTED_SET)
        manifest = write_length_histograms(opened, shards)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **figures(manifest.facts),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                dataset_checks(
                    opened, manifest, ["dataset", "field", "unit", "bin_start"], HISTOGRAM_SCHEMA
                ),
            ),
        )

    return length_histograms


def figures(facts: Row) -> dict[str, dg.MetadataValue]:
    """Table and plots of a version's facts."""
    shown = {
        f"plot_{name}": picture(uri, f"histograms of the lengths of the {name}")
        for name, uri in facts["plots"].items()
    }
    shown["lengths"] = dg.MetadataValue.md(length_table(facts["summary"]["rows"]))
    if facts["token_note"]:
        shown["token_note"] = dg.MetadataValue.text(facts["token_note"])
    return shown


def length_table(rows: Iterable[Row]) -> str:
    """Our rows, and under them the paper's means."""
    ours = [
        {
            "texts": f"{row['dataset']}, {row['field']}",
            "unit": row["unit"],
            "measured": row["n"],
            "of": row["n_total"],
            "mean": row["mean"],
            "95 % interval": _interval(row),
            "sd": row["sd"],
            "5 %": row["p5"],
            "median": row["median"],
            "95 %": row["p95"],
            "longest": row["max"],
            "few": "yes" if row["few"] else "",
        }
        for row in rows
    ]
    paper = [
        {
            "texts": f"paper: {row.dataset}, {field}",
            "unit": "chars",
            "measured": row.n_examples,
            "of": row.n_examples,
            "mean": float(mean),
            "sd": float(sd),
        }
        for row in PAPER_DATA_STATISTICS
        for field, mean, sd in (
            ("instruction", row.instruction_chars_mean, row.instruction_chars_sd),
            ("output", row.output_chars_mean, row.output_chars_sd),
        )
    ]
    frame = pl.DataFrame([*ours, *paper], infer_schema_length=None)
    return render_markdown_table(frame, max_rows=200, decimals=0)


def _interval(row: Row) -> str:
    return "" if row["low"] is None else f"{row['low']:,.0f}–{row['high']:,.0f}"
