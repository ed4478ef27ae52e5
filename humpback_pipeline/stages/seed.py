"""Seed stage: the human pairs, validated, deduplicated and split (paper section 2.1)."""

from __future__ import annotations

from typing import Any

import polars as pl

from humpback_pipeline.seeds import SEED_SCHEMA, SeedDataError, seed_content_hash, seed_frame
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.held_out import evaluation_texts
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Provenance

SEED_PAIRS = "seed_pairs"
PROMPTS = "evaluation.prompts"


def write_seed_pairs(workspace: Workspace) -> Manifest:
    """Read the recipe's seed data into the dataset `seed_pairs`. Raises SeedDataError."""
    seed = workspace.recipe.seed
    sources = Provenance(seed_files={seed.path.name: seed_content_hash(seed.path)})
    settings: dict[str, Any] = seed.model_dump(mode="json", exclude={"path", "contaminated"})
    if seed.contaminated == "drop":  # only then do the rows depend on the prompts
        sources = sources.merged([file_source(workspace.recipe.evaluation.prompts, PROMPTS)])
        n_words = workspace.recipe.curation.contamination_ngram_words
        settings |= {"contaminated": "drop", "ngram_words": n_words}
    origin = workspace.origin(SEED_PAIRS, sources=sources, settings=settings)
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    read = workspace.read_seeds()
    # Ids are content hashes, so the first N in their order are a fixed sample of the pairs.
    frame = seed_frame(sorted(read.pairs, key=lambda pair: pair.pair_id))
    dropped = dict(read.dropped)
    if seed.contaminated == "drop":
        contaminated = _contaminated(workspace, frame)
        dropped |= {"contaminated": int(contaminated.sum())} if contaminated.any() else {}
        frame = frame.filter(~contaminated)
    if seed.max_pairs is not None:
        frame = frame.head(seed.max_pairs)
    splits = frame["split"].value_counts().to_dict(as_series=False)
    if read.content_hash != next(iter(origin.sources.seed_files.values())):
        raise SeedDataError(f"{seed.path}: changed while it was being read. Remedy: run again.")
    return workspace.write_dataset(
        origin,
        frame,
        SEED_SCHEMA,
        facts={
            "format": read.format,
            "n_read": len(read.pairs) + sum(read.dropped.values()),
            "dropped": dropped,
            "bad_records": [str(record) for record in read.bad_records[:20]],
            "splits": dict(zip(splits["split"], splits["count"], strict=True)),
        },
    )


def _contaminated(workspace: Workspace, frame: pl.DataFrame) -> pl.Series:
    """Which pairs share a long run of words with evaluation prompts or references."""
    from humpback_pipeline.evaluation.contamination import OverlapFinder

    recipe = workspace.recipe
    texts = evaluation_texts(recipe)
    return OverlapFinder(texts, recipe.curation.contamination_ngram_words).contaminated(frame)
