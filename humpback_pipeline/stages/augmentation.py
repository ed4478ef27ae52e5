"""Augmentation stages: the backward model, and the instruction it writes for each segment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.corpus_selection import SELECTION
from humpback_pipeline.stages.sharded import write_shards
from humpback_pipeline.stages.training import train_and_save
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Origin

if TYPE_CHECKING:
    from humpback_pipeline.generation import TextGenerator

BACKWARD_MODEL = "backward_model"
AUGMENTED_SET = "augmented_set"
AUGMENTED_SCHEMA = {
    "segment_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "instruction_chars": pl.Int64,
    "output_chars": pl.Int64,
    "finish_reason": pl.String,
    "mean_logprob": pl.Float64,
}


def train_backward_model(
    workspace: Workspace, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Train M_yx on the seed pairs, output → instruction (paper section 2.2)."""
    return train_and_save(workspace, BACKWARD_MODEL, direction="backward", on_progress=on_progress)


def write_augmented_set(
    workspace: Workspace, shards: Sequence[str], on_progress: OnProgress = ignore_progress
) -> Iterator[tuple[str, Manifest]]:
    """Write the augmented set of each shard, on as many engines as there are free GPUs.

    Columns: `AUGMENTED_SCHEMA`. Answers go to a ledger as they come, so a killed run resumes.
    """
    from humpback_pipeline.generation import generate_instructions

    origins = {shard: _augmented_set_origin(workspace, shard) for shard in shards}

    def write_shard(
        generator: TextGenerator, shard: str, on_progress: OnProgress = ignore_progress
    ) -> Manifest:
        result = generate_instructions(
            _selected_segments(workspace, shard),
            generator,
            workspace.prompts,
            workspace.recipe.augmentation.sampling,
            ledger=workspace.ledger(AUGMENTED_SET, shard),
            chunk_size=workspace.recipe.generation.chunk_size,
            on_progress=on_progress,
        )
        return workspace.write_dataset(
            origins[shard],
            result.frame,
            AUGMENTED_SCHEMA,
            partition=shard,
            facts={"dropped": result.dropped, "n_truncated": result.n_truncated},
        )

    yield from write_shards(workspace, BACKWARD_MODEL, origins, write_shard, on_progress)


def _selected_segments(workspace: Workspace, shard: str) -> pl.DataFrame:
    selected = workspace.datasets.scan(SELECTION).filter("kept", pl.col("shard") == shard)
    return (
        workspace.datasets.scan(SEGMENTS, shard)
        .select("segment_id", "text")
        .join(selected.select("segment_id"), on="segment_id", how="semi")
        .sort("segment_id")
        .collect()
    )


def _augmented_set_origin(workspace: Workspace, shard: str) -> Origin:
    return workspace.origin(
        AUGMENTED_SET,
        inputs=[
            workspace.datasets.manifest(SEGMENTS, shard),
            workspace.datasets.manifest(SELECTION),
            workspace.models.manifest(BACKWARD_MODEL),
        ],
        sources=workspace.prompt_sources("backward"),
        settings={
            "sampling": workspace.recipe.augmentation.sampling.model_dump(),
            "generation": workspace.generation_settings(),
        },
    )
