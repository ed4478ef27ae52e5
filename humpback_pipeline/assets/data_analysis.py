"""Group `evaluation`: what the data are like, as tables and plots with the paper's beside them."""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, shards_with
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.evaluation import render_markdown_table
from humpback_pipeline.evaluation.paper import PAPER_SHARE_PARSED
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.augmentation import AUGMENTED_SET
from humpback_pipeline.stages.data_analysis import DATA_STATISTICS, write_data_statistics
from humpback_pipeline.stages.instruction_diversity import (
    DIVERSITY_SCHEMA,
    INSTRUCTION_DIVERSITY,
    write_instruction_diversity,
)

GROUP = "evaluation"
FEW_EXAMPLES = 30
Row = Mapping[str, Any]


def data_statistics_asset(pairs: list[str]) -> dg.AssetsDefinition:
    """Table of lengths over the seeds and the sets of `pairs`, augmented and curated."""

    @dg.asset(
        deps=[seed_pairs, *pairs],
        check_specs=check_specs(DATA_STATISTICS, *DATASET_CHECKS),
        description=(
            "How many examples the seeds, the augmented and the curated sets have, and how long "
            "instructions and outputs are: mean and deviation, the paper's beside (its table 1)."
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
                "statistics": statistics_table(table.to_dicts(), manifest.facts["paper"]),
                "plot": picture(manifest.facts["plot"], "mean lengths of ours and the paper's"),
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
            "What the instructions ask for: root verb and its noun object, distinct n-grams, how "
            "far apart they lie in meaning, and overlap with the seeds (paper figure 2)."
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
        rows = opened.datasets.read(INSTRUCTION_DIVERSITY).to_dicts()
        sunbursts = {
            f"sunburst_{name}": picture(uri, f"root verbs and nouns of {name}")
            for name, uri in manifest.facts["sunbursts"].items()
        }
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "diversity": diversity_table(rows),
                "how_to_read": dg.MetadataValue.md(how_to_read(rows, manifest.facts)),
                **sunbursts,
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context, dataset_checks(opened, manifest, ["dataset"], DIVERSITY_SCHEMA)
            ),
        )

    return instruction_diversity


def picture(data_uri: str, alt_text: str) -> dg.MetadataValue:
    """A plot that a manifest keeps as a data URI."""
    return dg.MetadataValue.md(f"![{alt_text}]({data_uri})")


def statistics_table(ours: Iterable[Row], paper: Iterable[Row]) -> dg.MetadataValue:
    """Our rows of the data statistics, and the paper's below them."""
    rows = [
        {
            "whose": whose,
            "data": row["dataset"],
            "examples": row["n_examples"],
            **{
                f"{part} chars": _mean_and_sd(row[f"{part}_chars_mean"], row[f"{part}_chars_sd"])
                for part in ("instruction", "output")
            },
            "few": "yes" if row["n_examples"] < FEW_EXAMPLES else "",
        }
        for whose, of_whom in (("ours", ours), ("paper", paper))
        for row in of_whom
    ]
    return dg.MetadataValue.md(render_markdown_table(pl.DataFrame(rows)))


def diversity_table(rows: Iterable[Row]) -> dg.MetadataValue:
    """One row a data set, and the paper's share of parsed instructions below."""
    shown = [
        {
            "data": row["dataset"],
            "instructions": f"{row['n']:,} of {row['n_total']:,}",
            "with verb and noun": f"{row['share_parsed']:.0%} "
            f"[{row['share_parsed_low']:.0%}–{row['share_parsed_high']:.0%}]",
            "distinct pairs": row["n_distinct_pairs"],
            "distinct-1": row["distinct_1"],
            "distinct-2": row["distinct_2"],
            f"distinct-2 of {row['n_matched']}": row["distinct_2_matched"],
            "embedding distance": _with_interval(row, "embedding_distance"),
            f"Vendi score of {row['n_matched']}": row["vendi_score_matched"],
            "overlap with seeds": row["seed_overlap"],
            "near copies": row["share_near_copies"],
        }
        for row in rows
    ]
    paper = [
        {"data": f"paper: {name}", "with verb and noun": f"{share:.0%}"}
        for name, share in PAPER_SHARE_PARSED.items()
    ]
    frame = pl.DataFrame([*shown, *paper], infer_schema_length=None)
    return dg.MetadataValue.md(render_markdown_table(frame))


def how_to_read(rows: Iterable[Row], facts: Row) -> str:
    """What the columns of the diversity table mean, and what to be careful with."""
    sentences = [
        "Brackets are 95 % intervals. Distinct-n and the Vendi score (effective number of "
        "different instructions) change with the size of a set, so both are also given for as "
        "many instructions of each.",
        "Embedding distance: mean cosine distance of two instructions, 0 where all say the same, "
        "about 1 where they share nothing; vectors are means of the static token embeddings of "
        f"{facts['embedding_model']}, weighted by rarity, without what all instructions share.",
    ]
    if facts["embedding_note"]:
        sentences.append(f"It was not measured: {facts['embedding_note']}.")
    small = [f"{row['dataset']} ({row['n']})" for row in rows if row["n"] < FEW_EXAMPLES]
    if small:
        sentences.append(f"Few instructions, read the intervals: {', '.join(small)}.")
    return " ".join(sentences)


def _mean_and_sd(mean: float | None, sd: float | None) -> str:
    if mean is None:
        return "–"
    return f"{mean:,.0f}" if sd is None else f"{mean:,.0f} ± {sd:,.0f}"


def _with_interval(row: Row, name: str) -> str:
    if row[name] is None:
        return "–"
    return f"{row[name]:.3f} [{row[f'{name}_low']:.3f}–{row[f'{name}_high']:.3f}]"
