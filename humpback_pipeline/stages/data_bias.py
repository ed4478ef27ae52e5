"""Toxic words and mentions of groups of people in the seeds, augmented and curated sets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import polars as pl

from humpback_pipeline.stages.augmentation import augmented_set_names
from humpback_pipeline.stages.iteration_names import curated_set_name
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Provenance, hash_file

DATA_BIAS = "data_bias"
# Of a larger set so many pairs are measured: the first by their ids, which are hashes of content.
MAX_PAIRS = 20_000
DATA_BIAS_SCHEMA = {
    "dataset": pl.String,
    "measure": pl.String,
    "group": pl.String,
    "n": pl.Int64,
    "hits": pl.Int64,
    "share": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
}


def write_data_bias(workspace: Workspace, shards: Sequence[str]) -> Manifest:
    """Compare seeds, augmented sets and curated sets; columns `DATA_BIAS_SCHEMA`.

    A text is an instruction with its output. Facts: measured, data set → pairs looked at.
    """
    from humpback_pipeline.evaluation.data_bias import IDENTITY_FILE, TOXIC_FILE, data_bias

    datasets = workspace.datasets
    curated = [curated_set_name(t) for t in range(1, workspace.recipe.curation.iterations + 1)]
    augmented = augmented_set_names(workspace.recipe)
    lists = {f"word_list/{file.name}": hash_file(file) for file in (TOXIC_FILE, IDENTITY_FILE)}
    origin = workspace.origin(
        DATA_BIAS,
        inputs=[
            *(datasets.manifest(name) for name in (SEED_PAIRS, *curated)),
            *(m for name in augmented for m in datasets.manifests(name, shards)),
        ],
        sources=Provenance(datasets=lists),
        settings={"max_pairs": MAX_PAIRS},
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    frames = {
        SEED_PAIRS: datasets.scan(SEED_PAIRS),
        **{name: datasets.scan_partitions(name, shards) for name in augmented},
        **{name: datasets.scan(name) for name in curated},
    }
    chosen = {name: _first_pairs(frame) for name, frame in frames.items()}
    rows = data_bias({name: _texts(frame) for name, frame in chosen.items()})
    frame = pl.DataFrame([asdict(row) for row in rows], schema=DATA_BIAS_SCHEMA)
    return workspace.write_dataset(
        origin,
        frame,
        DATA_BIAS_SCHEMA,
        facts={"measured": {name: pairs.height for name, pairs in chosen.items()}},
    )


def _first_pairs(frame: pl.LazyFrame) -> pl.DataFrame:
    names = frame.collect_schema().names()
    key = "pair_id" if "pair_id" in names else "segment_id"
    return frame.select(key, "instruction", "output").sort(key).head(MAX_PAIRS).collect()


def _texts(pairs: pl.DataFrame) -> pl.Series:
    return pairs.select(pl.concat_str("instruction", "output", separator="\n")).to_series()
