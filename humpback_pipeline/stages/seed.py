"""Seed stage: the human pairs, validated, deduplicated and split (paper section 2.1)."""

from __future__ import annotations

from humpback_pipeline.seeds import SEED_SCHEMA, seed_frame
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Provenance

SEED_PAIRS = "seed_pairs"


def write_seed_pairs(workspace: Workspace) -> Manifest:
    """Read the recipe's seed data into the dataset `seed_pairs`. Raises SeedDataError."""
    seed = workspace.recipe.seed
    read = workspace.read_seeds()
    # Ids are content hashes, so the first N in their order are a fixed sample of the pairs.
    pairs = sorted(read.pairs, key=lambda pair: pair.pair_id)[: seed.max_pairs]
    frame = seed_frame(pairs)
    splits = frame["split"].value_counts().to_dict(as_series=False)
    return workspace.datasets.write(
        SEED_PAIRS,
        frame,
        schema=SEED_SCHEMA,
        sources=Provenance(seed_files={seed.path.name: read.content_hash}),
        facts={
            "format": read.format,
            "n_read": len(read.pairs) + sum(read.dropped.values()),
            "dropped": dict(read.dropped),
            "bad_records": [str(record) for record in read.bad_records[:20]],
            "splits": dict(zip(splits["split"], splits["count"], strict=True)),
        },
    )
