"""Group `evaluation`, last of all: the report of it all."""

import dagster as dg
import polars as pl

from humpback_pipeline.assets.common import asset_settings, shards_with
from humpback_pipeline.assets.metadata import provenance_table
from humpback_pipeline.assets.report_times import step_timings
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.evaluation import render_markdown_table
from humpback_pipeline.lineage.links import artefact_url, base_url
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.augmentation import AUGMENTED_SET
from humpback_pipeline.stages.data_analysis import DATA_STATISTICS
from humpback_pipeline.stages.instruction_diversity import INSTRUCTION_DIVERSITY
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.report import write_report
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.selection_quality import SELECTION_QUALITY
from humpback_pipeline.stages.summary import funnel, trained_models

GROUP = "evaluation"


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
            "Start here: one page, without network, with what was run, the funnel, losses, "
            "ratings, samples, contamination, selection quality, win rates and their tests, and "
            "what else was measured, the paper's figures beside ours."
        ),
        **asset_settings(GROUP, "html", name="report"),
    )
    @retried
    def report(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = shards_with(context, opened, AUGMENTED_SET)
        path = write_report(opened, shards, step_timings(context.instance, "report"))
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
