"""How varied the instructions are: verbs and nouns, n-grams, meaning, novelty (paper figure 2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.stages.augmentation import augmented_set_names
from humpback_pipeline.stages.iteration_names import curated_set_name
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

if TYPE_CHECKING:
    from humpback_pipeline.evaluation import InstructionDiversity

INSTRUCTION_DIVERSITY = "instruction_diversity"
# Parsing takes four seconds a thousand; the spread needs memory that grows with the square.
MAX_PARSED = 10_000
MAX_EMBEDDED = 2_000
DIVERSITY_SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    "dataset": pl.String,
    "n": pl.Int64,
    "n_total": pl.Int64,
    "n_parsed": pl.Int64,
    "share_parsed": pl.Float64,
    "share_parsed_low": pl.Float64,
    "share_parsed_high": pl.Float64,
    "n_distinct_pairs": pl.Int64,
    "distinct_1": pl.Float64,
    "distinct_2": pl.Float64,
    "n_matched": pl.Int64,
    "distinct_2_matched": pl.Float64,
    "vendi_score_matched": pl.Float64,
    "embedding_distance": pl.Float64,
    "embedding_distance_low": pl.Float64,
    "embedding_distance_high": pl.Float64,
    "seed_overlap": pl.Float64,
    "share_near_copies": pl.Float64,
    "top_pairs": pl.List(pl.String),
}


def write_instruction_diversity(workspace: Workspace, shards: Sequence[str]) -> Manifest:
    """Measure the instructions of seeds, augmented sets and the last curated set.

    Columns: `DIVERSITY_SCHEMA`. Of each set the 10,000 instructions with the lowest hashes of their
    ids are parsed, and 2,000 of those embedded; `_matched` figures are of as many instructions of
    every set, `n_matched`. Facts: sunbursts (data set → PNG as a data URI), embedding_model,
    embedding_note: why nothing could be embedded, else None.
    """
    from humpback_pipeline.evaluation import instruction_diversity, png_data_uri, sunburst_plot

    datasets = workspace.datasets
    last = curated_set_name(workspace.recipe.curation.iterations)
    augmented = augmented_set_names(workspace.recipe)
    origin = workspace.origin(
        INSTRUCTION_DIVERSITY,
        inputs=[
            datasets.manifest(SEED_PAIRS),
            datasets.manifest(last),
            *(m for name in augmented for m in datasets.manifests(name, shards)),
        ],
        sources=workspace.base_model_source(),
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    seeds = datasets.read(SEED_PAIRS)["instruction"].to_list()
    samples, totals = {}, {}
    for name in (SEED_PAIRS, *augmented, last):
        partitions = shards if name in augmented else [None]
        samples[name], totals[name] = _sample(workspace, name, partitions)
    matched, spreads, note = _matched_figures(workspace, samples)
    rows, plots = [], {}
    for name, instructions in samples.items():
        compared = None if name == SEED_PAIRS else seeds
        measured = instruction_diversity(instructions, compared, max_instructions=MAX_PARSED)
        plots[name] = png_data_uri(sunburst_plot(measured.verb_nouns, title=name))
        sizes = {"dataset": name, "n_total": totals[name]}
        rows.append({**sizes, **_row(measured), **matched[name], **spreads[name]})
    return workspace.write_dataset(
        origin,
        pl.DataFrame(rows, schema=DIVERSITY_SCHEMA),
        DIVERSITY_SCHEMA,
        facts={
            "sunbursts": plots,
            "embedding_model": workspace.base_model.identity,
            "embedding_note": note,
        },
    )


def _sample(
    workspace: Workspace, name: str, partitions: Sequence[str | None]
) -> tuple[list[str], int]:
    """Instructions in the order of their ids' hashes, and how many there are in all."""
    from humpback_pipeline.evaluation.hash_samples import sample_by_hash

    n_total = 0

    def parts() -> Iterator[pl.DataFrame]:
        nonlocal n_total
        for partition in partitions:
            scan = workspace.datasets.scan(name, partition)
            # A curated pair has both ids; the segment's is of no page that a seed is from.
            columns = scan.collect_schema().names()
            key = "pair_id" if "pair_id" in columns else "segment_id"
            part = scan.select(pl.col(key).alias("id"), "instruction").collect()
            n_total += part.height
            yield part

    sample = sample_by_hash(parts(), "id", MAX_PARSED)
    return sample["instruction"].to_list() if sample.height else [], n_total


def _matched_figures(
    workspace: Workspace, samples: Mapping[str, Sequence[str]]
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]], str | None]:
    """Figures of as many instructions of every set, the spread of each, and why there is none."""
    from humpback_pipeline.evaluation import distinct_n
    from humpback_pipeline.evaluation.embedding_spread import (
        EmbeddingTableError,
        embed_texts,
        embedding_spread,
    )
    from humpback_pipeline.evaluation.tokenizing import NoTokenizerError

    n_matched = min((len(texts) for texts in samples.values() if texts), default=0)
    note = None
    try:
        embedded = embed_texts(
            {name: texts[:MAX_EMBEDDED] for name, texts in samples.items()},
            workspace.base_model.path,
        )
    except (EmbeddingTableError, NoTokenizerError) as error:
        embedded, note = {}, str(error)
    matched: dict[str, dict[str, Any]] = {}
    spreads: dict[str, dict[str, Any]] = {}
    for name, texts in samples.items():
        vendi = None
        spreads[name] = {}
        if name in embedded:
            spread = embedding_spread(embedded[name])
            vendi = embedding_spread(embedded[name][:n_matched]).vendi_score
            spreads[name] = {
                "embedding_distance": spread.distance,
                "embedding_distance_low": spread.low,
                "embedding_distance_high": spread.high,
            }
        matched[name] = {
            "n_matched": n_matched,
            "distinct_2_matched": distinct_n(texts[:n_matched], 2),
            "vendi_score_matched": vendi,
        }
    return matched, spreads, note


def _row(measured: InstructionDiversity) -> dict[str, Any]:
    from humpback_pipeline.evaluation.intervals import wilson_interval

    low, high = wilson_interval(measured.n_parsed, measured.n)
    return {
        "n": measured.n,
        "n_parsed": measured.n_parsed,
        "share_parsed": measured.share_parsed,
        "share_parsed_low": low,
        "share_parsed_high": high,
        "n_distinct_pairs": measured.n_distinct_pairs,
        "distinct_1": measured.distinct_1,
        "distinct_2": measured.distinct_2,
        "seed_overlap": measured.seed_overlap,
        "share_near_copies": measured.share_near_copies,
        "top_pairs": [f"{c.verb} {c.noun} ({c.n})" for c in measured.verb_nouns[:10]],
    }
