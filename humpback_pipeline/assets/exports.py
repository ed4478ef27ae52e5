"""Group `evaluation`: what leaves the project, curated sets for other tools and models' cards."""

from pathlib import Path

import dagster as dg

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.exports import (
    CARD,
    EXPORTS,
    EXPORTS_SCHEMA,
    exported_sets,
    exports_path,
    write_exports,
)
from humpback_pipeline.stages.model_cards import (
    MODEL_CARDS,
    MODEL_CARDS_SCHEMA,
    model_cards_path,
    write_model_cards,
)

GROUP = "evaluation"
# A longer text makes a page slow to open; the whole card lies at the path beside it.
MAX_CARD_CHARS = 20_000


def exports_asset(curated: list[str]) -> dg.AssetsDefinition:
    """The sets of `curated` as files for other tools."""

    @dg.asset(
        deps=[seed_pairs, *curated],
        check_specs=check_specs(EXPORTS, *DATASET_CHECKS),
        description=(
            "The curated sets for other tools, each with a dataset card: Parquet, JSONL of chat "
            "messages and of Alpaca's fields, and a datasets folder; `load_dataset` reads them "
            "from the folder. `python -m humpback_pipeline push` uploads what exports.hub names."
        ),
        **asset_settings(GROUP, "huggingface", "parquet", name=EXPORTS),
    )
    @retried
    def exports(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_exports(opened)
        table = opened.datasets.read(EXPORTS)
        root = exports_path(opened)
        cards = {
            f"dataset_card_{name}": card_text(root / name / CARD) for name in exported_sets(opened)
        }
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "folder": dg.MetadataValue.path(str(root)),
                "files": dg.MetadataValue.md(
                    render_markdown_table(table.drop("sha256"), max_rows=60)
                ),
                **cards,
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context, dataset_checks(opened, manifest, ["path"], EXPORTS_SCHEMA)
            ),
        )

    return exports


def model_cards_asset(models: list[str], measured: list[str]) -> dg.AssetsDefinition:
    """Cards of `models`, with what the assets `measured` found."""

    @dg.asset(
        deps=[*models, *measured],
        check_specs=check_specs(MODEL_CARDS, *DATASET_CHECKS),
        description=(
            "A card for each model in the Hub's format: base, licence, training, what it learnt "
            "from by content hash, win rate and limits; its metadata carry the win rate too."
        ),
        **asset_settings(GROUP, "huggingface", "markdown", name=MODEL_CARDS),
    )
    @retried
    def model_cards(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_model_cards(opened)
        table = opened.datasets.read(MODEL_CARDS)
        root = model_cards_path(opened)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "folder": dg.MetadataValue.path(str(root)),
                "models": dg.MetadataValue.md(render_markdown_table(table.drop("card", "path"))),
                **{f"model_card_{name}": card_text(root / name / CARD) for name in table["model"]},
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context, dataset_checks(opened, manifest, ["model"], MODEL_CARDS_SCHEMA)
            ),
        )

    return model_cards


def card_text(path: Path) -> dg.MetadataValue:
    """A card as Markdown, its metadata as a block of YAML."""
    text = path.read_text(encoding="utf-8")[:MAX_CARD_CHARS]
    _, metadata, prose = text.split("---\n", 2)
    return dg.MetadataValue.md(f"```yaml\n{metadata}```\n{prose}")
