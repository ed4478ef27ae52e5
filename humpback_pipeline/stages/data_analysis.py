"""What the data are like: lengths and diversity (paper table 1, figure 2)."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from humpback_pipeline.stages.augmentation import augmented_set_names
from humpback_pipeline.stages.iteration_names import curated_set_name
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

DATA_STATISTICS = "data_statistics"
INSTRUCTION_DIVERSITY = "instruction_diversity"


def write_data_statistics(workspace: Workspace, shards: Sequence[str]) -> Manifest:
    """Examples and lengths of seeds, augmented set and curated sets (paper table 1)."""
    from humpback_pipeline.evaluation import data_statistics

    datasets = workspace.datasets
    names = [curated_set_name(t) for t in range(1, workspace.recipe.curation.iterations + 1)]
    augmented = augmented_set_names(workspace.recipe)
    origin = workspace.origin(
        DATA_STATISTICS,
        inputs=[
            *(datasets.manifest(name) for name in (SEED_PAIRS, *names)),
            *(m for name in augmented for m in datasets.manifests(name, shards)),
        ],
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    frames = {
        SEED_PAIRS: datasets.scan(SEED_PAIRS),
        **{name: datasets.scan(name) for name in reversed(names)},
        **{name: datasets.scan_partitions(name, shards) for name in augmented},
    }
    table = data_statistics(frames)
    return workspace.write_dataset(origin, table, table.schema)


def write_instruction_diversity(workspace: Workspace, shards: Sequence[str]) -> Manifest:
    """Root verbs and nouns, distinct n-grams and overlap with the seeds (paper figure 2)."""
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
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    seeds = datasets.read(SEED_PAIRS)["instruction"].to_list()
    sets = {
        SEED_PAIRS: (seeds, None),
        **{
            name: (
                datasets.scan_partitions(name, shards)
                .select("instruction")
                .collect()["instruction"]
                .to_list(),
                seeds,
            )
            for name in augmented
        },
        last: (datasets.read(last)["instruction"].to_list(), seeds),
    }
    rows, plots = [], {}
    for name, (instructions, compared) in sets.items():
        result = instruction_diversity(instructions, compared)
        plots[name] = png_data_uri(sunburst_plot(result.verb_nouns, title=name))
        rows.append(
            {
                "dataset": name,
                "n": result.n,
                "n_parsed": result.n_parsed,
                "share_parsed": result.share_parsed,
                "n_distinct_pairs": result.n_distinct_pairs,
                "distinct_1": result.distinct_1,
                "distinct_2": result.distinct_2,
                "seed_overlap": result.seed_overlap,
                "share_near_copies": result.share_near_copies,
                "top_pairs": [f"{c.verb} {c.noun} ({c.n})" for c in result.verb_nouns[:10]],
            }
        )
    table = pl.DataFrame(
        rows, schema_overrides={"seed_overlap": pl.Float64, "share_near_copies": pl.Float64}
    )
    return workspace.write_dataset(origin, table, table.schema, facts={"sunbursts": plots})
