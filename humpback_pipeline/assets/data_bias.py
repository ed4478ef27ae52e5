"""Group `evaluation`: what the data say of people, compared between the data sets."""

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, shards_with
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata, plot
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.evaluation import render_markdown_table
from humpback_pipeline.evaluation.data_bias import FEMALE_PRONOUNS, MENTIONS, TOXIC, bias_table
from humpback_pipeline.evaluation.share_plots import Share, share_dots
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.augmentation import AUGMENTED_SET
from humpback_pipeline.stages.data_bias import DATA_BIAS, DATA_BIAS_SCHEMA, write_data_bias

GROUP = "evaluation"
MAX_PLOTTED_GROUPS = 14
CAVEAT = (
    "Counted by word lists and VADER's sentiment lexicon, in English. They miss toxicity in clean "
    "words, irony and groups without an entry, and cannot tell a quotation from an insult: compare "
    "data sets by them, within the intervals, and do not call one clean. A sentence counts as "
    "negative by its words, whether or not these are about the group."
)


def data_bias_asset(pairs: list[str]) -> dg.AssetsDefinition:
    """Toxic words and mentions in the seeds and the sets of `pairs`, augmented and curated."""

    @dg.asset(
        deps=[seed_pairs, *pairs],
        check_specs=check_specs(DATA_BIAS, *DATASET_CHECKS),
        description=(
            "Toxic words, mentions of groups of people and how negative their sentences are, and "
            "the share of female pronouns, in seeds, augmented and curated sets, each with its "
            "95 % interval: does the crawl bring in what the seeds do not have?"
        ),
        **asset_settings(GROUP, "polars", "parquet", name=DATA_BIAS),
    )
    @retried
    def data_bias(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = shards_with(context, opened, AUGMENTED_SET)
        manifest = write_data_bias(opened, shards)
        rows = opened.datasets.read(DATA_BIAS)
        table = pl.DataFrame(bias_table(rows.iter_rows(named=True)))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "comparison": dg.MetadataValue.md(render_markdown_table(table, max_rows=120)),
                "plot": _plot(rows, [TOXIC, FEMALE_PRONOUNS], "Toxic texts, female pronouns"),
                "plot_mentions": _plot(rows, [MENTIONS], "Texts that mention a group"),
                "what_it_cannot_see": CAVEAT,
                "pairs_measured": manifest.facts["measured"],
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                dataset_checks(opened, manifest, ["dataset", "measure", "group"], DATA_BIAS_SCHEMA),
            ),
        )

    return data_bias


def _plot(rows: pl.DataFrame, measures: list[str], title: str) -> dg.MetadataValue:
    own = rows.filter(pl.col("measure").is_in(measures), pl.col("share").is_not_null())
    # The groups that are mentioned most; the table has them all.
    groups = own.group_by("group").agg(pl.col("hits").sum()).sort("hits", "group", descending=True)
    groups = groups.filter((pl.col("hits") > 0) | (pl.col("group") == ""))
    shown = own.filter(pl.col("group").is_in(groups["group"].head(MAX_PLOTTED_GROUPS).implode()))
    dots = [
        Share(
            row["group"] or row["measure"].replace("_", " "),
            row["dataset"],
            row["share"],
            row["low"],
            row["high"],
        )
        for row in shown.iter_rows(named=True)
    ]
    return plot(share_dots(dots, title), title)
