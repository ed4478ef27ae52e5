"""Augmentation stages: the backward model, and the instruction it writes for each segment."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.stages.carrying import carry_shard
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.corpus_selection import SELECTION
from humpback_pipeline.stages.sharded import write_shards
from humpback_pipeline.stages.stopping import stopped_at
from humpback_pipeline.stages.training import train_and_save
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Origin

if TYPE_CHECKING:
    from humpback_pipeline.generation import AugmentedSegments, TextGenerator
    from humpback_pipeline.training import OnEvent

BACKWARD_MODEL = "backward_model"
AUGMENTED_SET = "augmented_set"
DROPPED_INSTRUCTIONS = "dropped_instructions"
AUGMENTED_SCHEMA = {
    "segment_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "instruction_chars": pl.Int64,
    "output_chars": pl.Int64,
    "finish_reason": pl.String,
    "mean_logprob": pl.Float64,
    "n_candidates": pl.Int64,
}
DROPPED_SCHEMA = {
    "segment_id": pl.String,
    "candidate": pl.Int64,
    "reason": pl.String,
    "text": pl.String,
    "finish_reason": pl.String,
    "mean_logprob": pl.Float64,
    "segment_dropped": pl.Boolean,
}
# Manifests are read often and by the thousand.
N_DROP_SAMPLES = 3
MAX_SAMPLE_CHARS = 600
N_FIRST_WORDS = 15
_FIRST_WORD = re.compile(r"\w[\w'\u2019]*")


def backward_model_name(recipe: Recipe, iteration: int) -> str:
    """The M_yx that writes the pairs of iteration t ≥ 1: one for all unless it is retrained."""
    return _of_iteration(BACKWARD_MODEL, recipe, iteration)


def augmented_set_name(recipe: Recipe, iteration: int) -> str:
    """The augmented set that iteration t ≥ 1 rates: one for all unless M_yx is retrained."""
    return _of_iteration(AUGMENTED_SET, recipe, iteration)


def dropped_instructions_name(recipe: Recipe, iteration: int) -> str:
    """The instructions that were dropped when that augmented set was written."""
    return _of_iteration(DROPPED_INSTRUCTIONS, recipe, iteration)


def augmented_set_names(recipe: Recipe) -> list[str]:
    """All augmented sets of a recipe, in the order they are made."""
    iterations = range(1, recipe.curation.iterations + 1)
    return list(dict.fromkeys(augmented_set_name(recipe, t) for t in iterations))


def backward_model_names(recipe: Recipe) -> list[str]:
    """All backward models of a recipe, in the order they are made."""
    iterations = range(1, recipe.curation.iterations + 1)
    return list(dict.fromkeys(backward_model_name(recipe, t) for t in iterations))


def is_backward_model(name: str) -> bool:
    """Whether a model of that name maps output → instruction."""
    return re.fullmatch(rf"{BACKWARD_MODEL}(_\d+)?", name) is not None


def _of_iteration(name: str, recipe: Recipe, iteration: int) -> str:
    if iteration < 1:
        raise ValueError(f"iteration {iteration} has no {name}; they begin with 1")
    retrained = recipe.augmentation.retrain_backward_model and iteration > 1
    return f"{name}_{iteration}" if retrained else name


def train_backward_model(
    workspace: Workspace,
    on_progress: OnProgress = ignore_progress,
    on_event: OnEvent | None = None,
) -> Manifest:
    """Train M_yx on the seed pairs, output → instruction (paper section 2.2)."""
    return train_and_save(
        workspace,
        BACKWARD_MODEL,
        direction="backward",
        on_progress=on_progress,
        on_event=on_event,
    )


def write_augmented_set(
    workspace: Workspace,
    shards: Sequence[str],
    on_progress: OnProgress = ignore_progress,
    *,
    iteration: int = 1,
) -> Iterator[tuple[str, Manifest]]:
    """Write the augmented set of each shard, on as many engines as there are free GPUs.

    Columns: `AUGMENTED_SCHEMA`; beside it the instructions that were dropped, `DROPPED_SCHEMA`.
    Answers go to a ledger as they come, so a killed run resumes. Once iterating has ended, the
    pairs of the iteration before are carried on.
    """
    from humpback_pipeline.generation import generate_instructions

    recipe = workspace.recipe
    name = augmented_set_name(recipe, iteration)
    dropped_name = dropped_instructions_name(recipe, iteration)
    if name != AUGMENTED_SET and stopped_at(workspace, iteration - 1) is not None:
        yield from _carry(workspace, iteration, shards)
        return
    origins = {shard: _origin(workspace, name, iteration, shard) for shard in shards}
    dropped_origins = {s: _origin(workspace, dropped_name, iteration, s) for s in shards}

    def write_shard(
        generator: TextGenerator, shard: str, on_progress: OnProgress = ignore_progress
    ) -> Manifest:
        result = generate_instructions(
            _selected_segments(workspace, shard),
            generator,
            workspace.prompts,
            recipe.augmentation.sampling,
            candidates=recipe.augmentation.candidates,
            filters=recipe.augmentation.filters,
            ledger=workspace.ledger(name, shard),
            chunk_size=recipe.generation.chunk_size,
            on_progress=on_progress,
        )
        # First, so that where the augmented set is whole, what was dropped for it is there too.
        workspace.write_dataset(
            dropped_origins[shard],
            result.dropped_rows,
            DROPPED_SCHEMA,
            partition=shard,
            facts={"by_reason": result.candidates_dropped},
        )
        return workspace.write_dataset(
            origins[shard],
            result.frame,
            AUGMENTED_SCHEMA,
            partition=shard,
            facts=augmentation_facts(result),
        )

    model = backward_model_name(recipe, iteration)
    for shard, manifest in write_shards(workspace, model, origins, write_shard, on_progress):
        # An older augmented set that is current again brings what was dropped for it back as well.
        workspace.unchanged_dataset(dropped_origins[shard], shard)
        yield shard, manifest


def _carry(
    workspace: Workspace, iteration: int, shards: Sequence[str]
) -> Iterator[tuple[str, Manifest]]:
    recipe = workspace.recipe
    for shard in shards:
        for name_of in (dropped_instructions_name, augmented_set_name):
            before = name_of(recipe, iteration - 1)
            manifest = carry_shard(workspace, name_of(recipe, iteration), before, shard)
        yield shard, manifest


def augmentation_facts(result: AugmentedSegments) -> dict[str, Any]:
    """Counts by reason, samples of what was dropped, and what the instructions are like.

    first_words: the commonest first words in lower case → instructions. most_common: the commonest
    instruction and how many segments have it.
    """
    frame = result.frame
    instructions = [" ".join(text.lower().split()) for text in frame["instruction"]]
    words = Counter(match[0] for text in instructions if (match := _FIRST_WORD.search(text)))
    most_common = Counter(instructions).most_common(1)
    return {
        "dropped": result.dropped,
        "candidates_dropped": result.candidates_dropped,
        "drop_samples": _drop_samples(result.dropped_rows),
        "n_truncated": result.n_truncated,
        "mean_candidates": frame["n_candidates"].mean(),
        "mean_logprob": frame["mean_logprob"].mean(),
        "first_words": dict(words.most_common(N_FIRST_WORDS)),
        "n_distinct": len(set(instructions)),
        "most_common": {
            "instruction": most_common[0][0][:MAX_SAMPLE_CHARS] if most_common else "",
            "n": most_common[0][1] if most_common else 0,
        },
    }


def _drop_samples(dropped: pl.DataFrame) -> dict[str, list[dict[str, Any]]]:
    samples: dict[str, list[dict[str, Any]]] = {}
    for row in dropped.iter_rows(named=True):
        kept = samples.setdefault(row["reason"], [])
        if len(kept) < N_DROP_SAMPLES:
            text = row["text"][:MAX_SAMPLE_CHARS]
            kept.append({"segment_id": row["segment_id"], "text": text})
    return samples


def _selected_segments(workspace: Workspace, shard: str) -> pl.DataFrame:
    selected = workspace.datasets.scan(SELECTION).filter("kept", pl.col("shard") == shard)
    return (
        workspace.datasets.scan(SEGMENTS, shard)
        .select("segment_id", "text")
        .join(selected.select("segment_id"), on="segment_id", how="semi")
        .sort("segment_id")
        .collect()
    )


def _origin(workspace: Workspace, name: str, iteration: int, shard: str) -> Origin:
    recipe = workspace.recipe
    return workspace.origin(
        name,
        inputs=[
            workspace.datasets.manifest(SEGMENTS, shard),
            workspace.datasets.manifest(SELECTION),
            workspace.models.manifest(backward_model_name(recipe, iteration)),
        ],
        sources=workspace.prompt_sources("backward"),
        settings={
            "sampling": recipe.augmentation.sampling.model_dump(),
            "candidates": recipe.augmentation.candidates,
            "filters": recipe.augmentation.filters.model_dump(),
            "generation": workspace.generation_settings(),
        },
    )
