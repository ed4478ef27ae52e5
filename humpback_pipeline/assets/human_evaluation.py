"""Evaluation by people: pairs for them to judge, and what they judged."""

from collections.abc import Sequence

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.human_evaluation_page import how_to_judge, human_figures
from humpback_pipeline.assets.metadata import manifest_metadata, sample_table
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.checks import check_schema_and_ids
from humpback_pipeline.stages.checks.human_evaluation import USABLE, check_judgements_usable
from humpback_pipeline.stages.human_evaluation import (
    HUMAN_EVALUATION,
    HUMAN_PAIRS,
    JUDGEMENTS_SCHEMA,
    PAIRS_SCHEMA,
    human_folder,
    write_human_evaluation,
    write_human_pairs,
)

GROUP = "evaluation"


def human_pairs_asset(responses: Sequence[str]) -> dg.AssetsDefinition:
    """The pairs, from the responses of all models."""

    @dg.asset(
        name=HUMAN_PAIRS,
        deps=list(responses),
        check_specs=check_specs(HUMAN_PAIRS, *DATASET_CHECKS),
        description=(
            "Blinded pairs of answers for people to judge, in random order (paper section 3.4): "
            "JSONL, CSV and a Label Studio project, and apart from them the key that says whose "
            "answer is which."
        ),
        **asset_settings(GROUP, "parquet", "json", name=HUMAN_PAIRS),
    )
    @retried
    def human_evaluation_pairs(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_human_pairs(opened)
        pairs = opened.datasets.read(HUMAN_PAIRS)
        sides = pairs.group_by("comparison", maintain_order=True).agg(
            pl.len().alias("pairs"),
            (pl.col("first_model") == pl.col("model")).sum().alias("model shown first"),
        )
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "pairs": dg.MetadataValue.md(render_markdown_table(sides)),
                "how_to_judge": dg.MetadataValue.md(how_to_judge(opened)),
                "files": dg.MetadataValue.path(str(human_folder(opened))),
                "samples": sample_table(pairs, ["instruction", "first", "second"]),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context, dataset_checks(opened, manifest, ["pair_id"], PAIRS_SCHEMA)
            ),
        )

    return human_evaluation_pairs


def human_evaluation_asset(judged_by: Sequence[str]) -> dg.AssetsDefinition:
    """What people judged; judged_by: the tables of the judge's preferences to compare with."""

    @dg.asset(
        name=HUMAN_EVALUATION,
        deps=[HUMAN_PAIRS, *judged_by],
        check_specs=check_specs(HUMAN_EVALUATION, "schema_and_ids", USABLE),
        description=(
            "People's judgements of the blinded pairs: shares of win, no difference and loss with "
            "95 % intervals, how far annotators agree with each other and with the judge. Imports "
            "what is in the folder of judgements; with none there it is an empty table."
        ),
        **asset_settings(GROUP, "parquet", name=HUMAN_EVALUATION),
    )
    @retried
    def human_evaluation(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_human_evaluation(opened)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **human_figures(opened, manifest),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    check_schema_and_ids(
                        opened.datasets, manifest, JUDGEMENTS_SCHEMA, ["pair_id", "annotator"]
                    ),
                    check_judgements_usable(manifest),
                ],
            ),
        )

    return human_evaluation
