"""Group `evaluation`, second half: what the data are like, and the report of it all."""

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, shards_with
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata, provenance_table
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.evaluation import render_markdown_table
from humpback_pipeline.lineage.links import artefact_url, base_url
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.augmentation import AUGMENTED_SET
from humpback_pipeline.stages.data_analysis import (
    DATA_STATISTICS,
    INSTRUCTION_DIVERSITY,
    write_data_statistics,
    write_instruction_diversity,
)
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.report import write_report
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.selection_quality import SELECTION_QUALITY
from humpback_pipeline.stages.summary import funnel, trained_models

GROUP = "evaluation"


def data_statistics_asset(pairs: list[str]) -> dg.AssetsDefinition:
    """Table of lengths over the seeds and the sets of `pairs`, augmented and curated."""

    @dg.asset(
        deps=[seed_pairs, *pairs],
        check_specs=check_specs(DATA_STATISTICS, *DATASET_CHECKS),
        description=(
            "How many examples the seeds, the augmented and the curated sets have, and how long "
            "instructions and outputs are: mean and deviation (paper table 1)."
        ),
        **asset_settings(GROUP, "polars", "parquet", name=DATA_STATISTICS),
    )
    @retried
    def data_statistics(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = shards_with(context, opened, AUGMENTED_SET)
        manifest = write_data_statistics(opened, shards)
        table = opened.datasets.read(DATA_STATISTICS)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "statistics": dg.MetadataValue.md(render_markdown_table(table, decimals=0)),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context, dataset_checks(opened, manifest, [table.columns[0]])
            ),
        )

    return data_statistics


def instruction_diversity_asset(pairs: list[str]) -> dg.AssetsDefinition:
    """What the instructions of the seeds and the sets of `pairs` ask for."""

    @dg.asset(
        deps=[seed_pairs, *pairs],
        check_specs=check_specs(INSTRUCTION_DIVERSITY, *DATASET_CHECKS),
        description=(
            "What the instructions ask for: root verb and its noun object, distinct n-grams, and "
            "overlap with the seeds (paper figure 2)."
        ),
        **asset_settings(GROUP, "spacy", "parquet", name=INSTRUCTION_DIVERSITY),
    )
    @retried
    def instruction_diversity(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = shards_with(context, opened, AUGMENTED_SET)
        manifest = write_instruction_diversity(opened, shards)
        table = opened.datasets.read(INSTRUCTION_DIVERSITY)
        sunbursts = {
            f"sunburst_{name}": dg.MetadataValue.md(f"![root verbs and nouns of {name}]({uri})")
            for name, uri in manifest.facts["sunbursts"].items()
        }
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "diversity": dg.MetadataValue.md(render_markdown_table(table.drop("top_pairs"))),
                **sunbursts,
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(context, dataset_checks(opened, manifest, ["dataset"])),
        )

    return instruction_diversity


def report_asset(
    upstream: list[str], freshness: dg.FreshnessPolicy | None = None
) -> dg.AssetsDefinition:
    """The page to start at, made when all of `upstream` is."""

    @dg.asset(
        freshness_policy=freshness,
        deps=[
            *upstream,
            WIN_RATES,
            SELECTION_QUALITY,
            DATA_STATISTICS,
            INSTRUCTION_DIVERSITY,
        ],
        description=(
            "Start here: one page with the run's funnel, losses, ratings, samples, selection "
            "quality and win rates, the paper's figures beside ours."
        ),
        **asset_settings(GROUP, "html", name="report"),
    )
    @retried
    def report(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = shards_with(context, opened, AUGMENTED_SET)
        path = write_report(opened, shards)
        rows = pl.DataFrame([{"stage": s.stage, "rows": s.rows} for s in funnel(opened, shards)])
        losses = pl.DataFrame(
            [
                {"model": m.name, "loss before": m.loss_before, "loss after": m.loss_after}
                for m in trained_models(opened)
            ]
        )
        final = opened.models.manifest(model_name(opened.recipe.curation.iterations))
        return dg.MaterializeResult(
            metadata={
                "report": dg.MetadataValue.url(report_url(path.parent.name)),
                "held_out_loss": dg.MetadataValue.md(render_markdown_table(losses)),
                "rows": dg.MetadataValue.md(render_markdown_table(rows)),
                "lineage": dg.MetadataValue.url(artefact_url(final)),
                "everything_behind_it": dg.MetadataValue.md(provenance_table(final)),
                "path": dg.MetadataValue.path(str(path)),
            }
        )

    return report


def report_url(recipe_name: str) -> str:
    """Address under which `make ui` serves a recipe's report."""
    return f"{base_url()}/{recipe_name}/report.html"
