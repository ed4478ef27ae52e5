"""All ablations on one page: the scaling curves with the paper's, and a table for each study."""

from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata, plot
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.automation.partitions import ABLATIONS_GROUP
from humpback_pipeline.evaluation.ablation_plots import scaling_curves, study_bars
from humpback_pipeline.evaluation.ablations import ABLATIONS_SCHEMA, STUDY_TITLES
from humpback_pipeline.evaluation.paper import PAPER_SCALING_COEFFICIENTS
from humpback_pipeline.evaluation.paper_ablations import PAPER_FINDINGS
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.evaluation.win_rates import small_sample_note
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.ablation_names import ABLATION_WIN_RATE, SCALING
from humpback_pipeline.stages.scaling import study_rows, write_scaling
from humpback_pipeline.storage import Manifest

# Of the table of one study: the study says itself, and what is empty throughout is left out.
_HIDDEN = ("study", "series", "n_examples", "p_value")


def scaling_asset() -> dg.AssetsDefinition:
    """The asset `scaling`, over the variants that have a win rate."""

    @dg.asset(
        name=SCALING,
        deps=[ABLATION_WIN_RATE],
        check_specs=check_specs(SCALING, *DATASET_CHECKS),
        description=(
            "How the win rate grows with data, w = α·ln(N) + C, for each series of ablations, "
            "beside the paper's α; and all ablations by study with the paper's figures. Works with "
            "the variants that have a win rate, and names the others."
        ),
        **asset_settings(ABLATIONS_GROUP, "matplotlib", "parquet", name=SCALING),
    )
    @retried
    def scaling(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_scaling(opened)
        table = opened.datasets.read(SCALING)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **scaling_metadata(manifest, table),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context, dataset_checks(opened, manifest, ["variant"], ABLATIONS_SCHEMA)
            ),
        )

    return scaling


def scaling_metadata(manifest: Manifest, table: pl.DataFrame) -> dict[str, Any]:
    """The fits, a plot and a table of each study, the paper's coefficients, what is missing."""
    facts = manifest.facts
    metadata: dict[str, Any] = {
        "missing": ", ".join(facts["missing"]) or "none: every variant has a win rate",
        "judge": ", ".join(facts["judge"]),
        "alpha": _table(facts["fits"], 2),
        "paper_alpha": _table(
            [{"data": name, "alpha": alpha} for name, alpha in PAPER_SCALING_COEFFICIENTS.items()],
            2,
        ),
    }
    widest = max(max(r["rate"] - r["low"], r["high"] - r["rate"]) for r in table.to_dicts())
    if note := small_sample_note(int(table["n"].min()), widest):  # type: ignore[arg-type]
        metadata["note"] = note
    if facts["short"]:
        metadata["fewer_pairs_than_wanted"] = _table(facts["short"], 0)
    for study in dict.fromkeys(table["study"]):
        rows = study_rows(table, study)
        title = STUDY_TITLES[study]
        shown = table.filter(pl.col("study") == study).drop(_HIDDEN)
        shown = shown.select(c for c in shown.columns if shown[c].null_count() < shown.height)
        metadata[study] = dg.MetadataValue.md(
            render_markdown_table(shown, decimals=2, max_rows=100)
            + (f"\n\nThe paper: {PAPER_FINDINGS[study]}" if study in PAPER_FINDINGS else "")
        )
        metadata[f"{study}_plot"] = plot(
            study_bars(rows, title), f"win rates of the study {title.lower()}"
        )
        if fits := [fit for fit in facts["fits"] if fit["study"] == study]:
            metadata[f"{study}_curves"] = plot(
                scaling_curves(rows, fits, f"{title}: win rate against size"),
                f"win rate against training examples, {title.lower()}, the paper's slopes dashed",
            )
    return metadata


def _table(rows: list[dict[str, Any]], decimals: int) -> dg.MetadataValue:
    if not rows:
        return dg.MetadataValue.md("None: a line needs two sizes of a series.")
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return dg.MetadataValue.md(render_markdown_table(frame, decimals=decimals))
