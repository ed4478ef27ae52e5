"""Seed stage: the human pairs, validated, deduplicated and split (paper section 2.1)."""

from __future__ import annotations

from humpback_pipeline.seeds import SEED_SCHEMA, SeedDataError, seed_content_hash, seed_frame
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Provenance

SEED_PAIRS = "seed_pairs"


def write_seed_pairs(workspace: Workspace) -> Manifest:
    """Read the recipe's seed data into the dataset `seed_pairs`. Raises SeedDataError."""
    seed = workspace.recipe.seed
    origin = workspace.origin(
        SEED_PAIRS,
        sources=Provenance(seed_files={seed.path.name: seed_content_hash(seed.path)}),
        settings=seed.model_dump(mode="json", exclude={"path"}),
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    read = workspace.read_seeds()
    # Ids are content hashes, so the first N in their order are a fixed sample of the pairs.
    pairs = sorted(read.pairs, key=lambda pair: pair.pair_id)[: seed.max_pairs]
    frame = seed_frame(pairs)
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
            "dropped": dict(read.dropped),
            "bad_records": [str(record) for record in read.bad_records[:20]],
            "splits": dict(zip(splits["split"], splits["count"], strict=True)),
        },
    )
