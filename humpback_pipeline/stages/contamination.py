"""Evaluation prompts against all that models are trained on: seeds and every curated set."""

from __future__ import annotations

import polars as pl

from humpback_pipeline.stages.held_out import held_out_sources, held_out_texts
from humpback_pipeline.stages.iteration_names import curated_set_name
from humpback_pipeline.stages.pair_batches import pair_batches
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

CONTAMINATION = "contamination"
# A set of which everything is contaminated must not make a table without end.
MAX_ROWS = 100_000


def write_contamination(workspace: Workspace) -> Manifest:
    """Which prompt shares which words with which pair, and the share of the prompt they cover.

    Columns: `OVERLAP_SCHEMA`. Facts: `counts`, a row for each set of pairs; `prompts`, a row for
    each file of prompts, the evaluation's first; `policy`, what the recipe does about contaminated
    seeds. Raises NotMaterializedError.
    """
    from humpback_pipeline.evaluation.contamination import (
        OVERLAP_SCHEMA,
        OverlapFinder,
        overlap_counts,
        prompt_counts,
    )

    recipe, datasets = workspace.recipe, workspace.datasets
    names = [SEED_PAIRS, *map(curated_set_name, range(1, recipe.curation.iterations + 1))]
    n_words = recipe.curation.contamination_ngram_words
    origin = workspace.origin(
        CONTAMINATION,
        inputs=[datasets.manifest(name) for name in names],
        sources=held_out_sources(recipe),
        settings={"ngram_words": n_words, "policy": recipe.seed.contaminated},
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    held_out = held_out_texts(recipe)
    finder = OverlapFinder(held_out, n_words)
    overlaps = pl.DataFrame(schema=OVERLAP_SCHEMA)
    n_pairs = dict.fromkeys(names, 0)
    for name in names:
        for pairs in pair_batches(workspace, name, ("pair_id", "instruction", "output")):
            n_pairs[name] += pairs.height
            overlaps = overlaps.vstack(finder.find(name, pairs))
    facts = {
        "counts": overlap_counts(overlaps, n_pairs),
        "prompts": prompt_counts(overlaps, held_out),
        "ngram_words": n_words,
        "policy": recipe.seed.contaminated,
        "n_rows": overlaps.height,
    }
    table = overlaps.sort("covered", descending=True, maintain_order=True).head(MAX_ROWS)
    return workspace.write_dataset(origin, table.rechunk(), OVERLAP_SCHEMA, facts=facts)
