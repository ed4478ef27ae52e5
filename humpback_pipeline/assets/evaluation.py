"""Group `evaluation`: how good the models and the selection are, and the report."""

import dagster as dg
import polars as pl

from humpback_pipeline.assets.augmentation import augmented_set
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.metadata import (
    manifest_metadata,
    plot,
    provenance_table,
    sample_table,
)
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.evaluation import precision_recall_plot, render_markdown_table, win_rate_bars
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.data_analysis import (
    DATA_STATISTICS,
    INSTRUCTION_DIVERSITY,
    write_data_statistics,
    write_instruction_diversity,
)
from humpback_pipeline.stages.iteration import curated_set_name, model_name
from humpback_pipeline.stages.report import write_report
from humpback_pipeline.stages.responses import (
    WIN_RATES,
    responses_name,
    write_responses,
    write_win_rates,
)
from humpback_pipeline.stages.selection_quality import SELECTION_QUALITY, write_selection_quality
from humpback_pipeline.stages.summary import funnel, trained_models

GROUP = "evaluation"


def build_evaluation(iterations: int) -> list[dg.AssetsDefinition]:
    """All evaluation assets for models M_0 … M_T."""
    models = range(iterations + 1)
    curated = [curated_set_name(t) for t in range(1, iterations + 1)]
    return [
        *(_responses_asset(t) for t in models),
        _win_rates_asset([responses_name(t) for t in models]),
        _selection_quality_asset([model_name(t) for t in range(iterations)]),
        _data_statistics_asset(curated),
        _instruction_diversity_asset(curated[-1]),
        _report_asset([*(model_name(t) for t in models), *curated]),
    ]


def _responses_asset(iteration: int) -> dg.AssetsDefinition:
    name = responses_name(iteration)

    @dg.asset(
        name=name,
        deps=[model_name(iteration)],
        description=(
            f"M_{iteration}'s answers to the evaluation prompts: both system tags, nucleus "
            "sampling with T = 0.7, p = 0.9 unless the recipe differs (paper section 3.1)."
        ),
        **asset_settings(GROUP, "vllm", "parquet", gpu=True),
    )
    def responses(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_responses(opened, iteration, log_progress(context))
        frame = opened.datasets.read(name)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **manifest_metadata(opened, manifest),
                "cut_at_max_tokens": manifest.facts["n_cut"],
                "mean_tokens": float(frame.select(pl.col("n_tokens").mean()).item() or 0.0),
                "samples": sample_table(frame, ["instruction", "output", "reference"]),
            },
        )

    return responses


def _win_rates_asset(responses: list[str]) -> dg.AssetsDefinition:
    @dg.asset(
        deps=responses,
        description=(
            "How often each model's answer is preferred to the reference answer by a local judge. "
            "Each pair is shown in both orders and the two verdicts are averaged; the rate and its "
            "standard error are AlpacaEval's."
        ),
        **asset_settings(GROUP, "vllm", "parquet", gpu=True),
    )
    def win_rates(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_win_rates(opened, log_progress(context))
        rows = manifest.facts["win_rates"]
        bars = win_rate_bars([(r["model"], r["rate"], r["standard_error"]) for r in rows])
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **manifest_metadata(opened, manifest),
                "win_rates": dg.MetadataValue.md(render_markdown_table(pl.DataFrame(rows))),
                "plot": plot(bars, "win rate of each model over the reference answers"),
                "judge": manifest.facts["judge"],
                "position_bias": manifest.facts["position_bias"],
            },
        )

    return win_rates


def _selection_quality_asset(raters: list[str]) -> dg.AssetsDefinition:
    @dg.asset(
        deps=raters,
        description=(
            "Precision, recall and AUC of each rater's selection on labelled pairs, which no model "
            "was trained on (paper table 8)."
        ),
        **asset_settings(GROUP, "vllm", "parquet", gpu=True),
    )
    def selection_quality(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_selection_quality(opened, log_progress(context))
        frame = opened.datasets.read(SELECTION_QUALITY)
        curves = {
            str(rater): (group["rating"].to_list(), [bool(label) for label in group["label"]])
            for (rater,), group in frame.group_by(["rater"], maintain_order=True)
        }
        by_kind = frame.group_by("rater", "kind").agg(pl.col("rating").mean(), n=pl.len())
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **manifest_metadata(opened, manifest),
                "quality": dg.MetadataValue.md(
                    render_markdown_table(pl.DataFrame(manifest.facts["quality"]))
                ),
                "mean_rating_by_kind": dg.MetadataValue.md(
                    render_markdown_table(by_kind.sort("rater", "kind"))
                ),
                "plot": plot(precision_recall_plot(curves), "precision against recall per rater"),
            },
        )

    return selection_quality


def _data_statistics_asset(curated: list[str]) -> dg.AssetsDefinition:
    @dg.asset(
        deps=[seed_pairs, augmented_set, *curated],
        description="Examples and text lengths of seeds, augmented and curated data (table 1).",
        **asset_settings(GROUP, "polars", "parquet"),
    )
    def data_statistics(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = context.instance.get_dynamic_partitions(WARC_SHARDS)
        manifest = write_data_statistics(opened, shards)
        table = opened.datasets.read(DATA_STATISTICS)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **manifest_metadata(opened, manifest),
                "statistics": dg.MetadataValue.md(render_markdown_table(table, decimals=0)),
            },
        )

    return data_statistics


def _instruction_diversity_asset(last_curated: str) -> dg.AssetsDefinition:
    @dg.asset(
        deps=[seed_pairs, augmented_set, last_curated],
        description=(
            "What the instructions ask for: root verb and its noun object, distinct n-grams, and "
            "overlap with the seeds (paper figure 2)."
        ),
        **asset_settings(GROUP, "spacy", "parquet"),
    )
    def instruction_diversity(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = context.instance.get_dynamic_partitions(WARC_SHARDS)
        manifest = write_instruction_diversity(opened, shards)
        table = opened.datasets.read(INSTRUCTION_DIVERSITY)
        sunbursts = {
            f"sunburst_{name}": dg.MetadataValue.md(f"![root verbs and nouns of {name}]({uri})")
            for name, uri in manifest.facts["sunbursts"].items()
        }
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **manifest_metadata(opened, manifest),
                "diversity": dg.MetadataValue.md(render_markdown_table(table.drop("top_pairs"))),
                **sunbursts,
            },
        )

    return instruction_diversity


def _report_asset(upstream: list[str]) -> dg.AssetsDefinition:
    @dg.asset(
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
        **asset_settings(GROUP, "html"),
    )
    def report(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = context.instance.get_dynamic_partitions(WARC_SHARDS)
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
                "made_from": dg.MetadataValue.md(provenance_table(final)),
                "report": dg.MetadataValue.url(report_url(path.parent.name)),
                "path": dg.MetadataValue.path(str(path)),
                "rows": dg.MetadataValue.md(render_markdown_table(rows)),
                "held_out_loss": dg.MetadataValue.md(render_markdown_table(losses)),
            }
        )

    return report


def report_url(recipe_name: str) -> str:
    """Address under which `make ui` serves a recipe's report."""
    from humpback_pipeline.commands.ui import REPORT_PORT

    return f"http://127.0.0.1:{REPORT_PORT}/{recipe_name}/report.html"
