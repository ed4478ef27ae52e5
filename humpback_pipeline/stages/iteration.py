"""Iteration stages: rate with M_{t-1}, keep the best, train M_t (paper section 2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.augmentation import AUGMENTED_SET
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.sharded import write_shards
from humpback_pipeline.stages.training import train_and_save
from humpback_pipeline.stages.workspace import Workspace, file_source
from humpback_pipeline.storage import Manifest, Origin

if TYPE_CHECKING:
    from humpback_pipeline.curation import Rating
    from humpback_pipeline.generation import TextGenerator

SCORES_SCHEMA = {
    "segment_id": pl.String,
    "rating": pl.Float64,
    "p1": pl.Float64,
    "p2": pl.Float64,
    "p3": pl.Float64,
    "p4": pl.Float64,
    "p5": pl.Float64,
    "rationale": pl.String,
    "scorer": pl.String,
}
CURATED_SCHEMA = {
    "pair_id": pl.String,
    "segment_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "rating": pl.Float64,
    "url": pl.String,
}


class StaleRatingsError(ValueError):
    """Ratings belong to other pairs than the current ones."""


def model_name(iteration: int) -> str:
    """Name of M_t's asset and model."""
    return f"m{iteration}"


def scores_name(iteration: int) -> str:
    """Name of the ratings of iteration t."""
    return f"curation_scores_{iteration}"


def curated_set_name(iteration: int) -> str:
    """Name of A_k^(t)."""
    return f"curated_set_{iteration}"


def train_forward_model(
    workspace: Workspace, iteration: int, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Train M_t: the base on the seeds alone (t = 0), or on the seeds and A_k^(t)."""
    return train_and_save(
        workspace,
        model_name(iteration),
        direction="forward",
        curated_set=curated_set_name(iteration) if iteration else None,
        on_progress=on_progress,
    )


def write_curation_scores(
    workspace: Workspace,
    iteration: int,
    shards: Sequence[str],
    on_progress: OnProgress = ignore_progress,
) -> Iterator[tuple[str, Manifest]]:
    """Rate each shard's augmented set with M_{t-1}, on as many engines as there are free GPUs.

    Columns: `SCORES_SCHEMA`. Ratings go to a ledger as they come, so a killed run resumes.
    """
    from humpback_pipeline.curation import Pair, rate_pairs

    name = scores_name(iteration)
    rater = model_name(iteration - 1)
    origins = {shard: _scores_origin(workspace, iteration, shard) for shard in shards}

    def write_shard(
        generator: TextGenerator, shard: str, on_progress: OnProgress = ignore_progress
    ) -> Manifest:
        pairs = workspace.datasets.read(AUGMENTED_SET, shard)
        truncated_before = generator.n_truncated
        ratings = rate_pairs(
            [
                Pair(row["instruction"], row["output"], pair_id=row["segment_id"])
                for row in pairs.iter_rows(named=True)
            ],
            generator,
            scorer=workspace.recipe.curation.scorer,
            prompts=workspace.prompts,
            ledger=workspace.ledger(name, shard),
            chunk_size=workspace.recipe.generation.chunk_size,
            on_progress=on_progress,
        )
        frame = _scores_frame(pairs, ratings)
        in_range = frame.filter(pl.col("rating").is_between(1.0, 5.0))
        return workspace.write_dataset(
            origins[shard],
            frame,
            SCORES_SCHEMA,
            partition=shard,
            facts={
                "rater": rater,
                "mean_rating": frame["rating"].mean(),
                "n_out_of_range": frame.height - in_range.height,
                "n_truncated": generator.n_truncated - truncated_before,
            },
        )

    yield from write_shards(workspace, rater, origins, write_shard, on_progress)


def _scores_frame(pairs: pl.DataFrame, ratings: Sequence[Rating]) -> pl.DataFrame:
    columns = {f"p{digit}": [r.probabilities[digit - 1] for r in ratings] for digit in range(1, 6)}
    return pl.DataFrame(
        {
            "segment_id": pairs["segment_id"],
            "rating": [rating.rating for rating in ratings],
            **columns,
            "rationale": [rating.rationale for rating in ratings],
            "scorer": [rating.scorer for rating in ratings],
        },
        schema=SCORES_SCHEMA,
    )


def _scores_origin(workspace: Workspace, iteration: int, shard: str) -> Origin:
    return workspace.origin(
        scores_name(iteration),
        inputs=[
            workspace.datasets.manifest(AUGMENTED_SET, shard),
            workspace.models.manifest(model_name(iteration - 1)),
        ],
        sources=workspace.prompt_sources("rating"),
        settings={
            "scorer": workspace.recipe.curation.scorer,
            "generation": workspace.generation_settings(),
        },
    )


def write_curated_set(workspace: Workspace, iteration: int, shards: Sequence[str]) -> Manifest:
    """Select A_k^(t) over all shards: rated high enough, no duplicate, no seed, no test prompt."""
    from humpback_pipeline.curation import select_pairs
    from humpback_pipeline.seeds import read_evaluation_prompts

    recipe, datasets = workspace.recipe, workspace.datasets
    _check_ratings_are_of_these_pairs(workspace, iteration, shards)
    origin = workspace.origin(
        curated_set_name(iteration),
        inputs=[
            *datasets.manifests(scores_name(iteration), shards),
            datasets.manifest(SEED_PAIRS),
        ],
        sources=file_source(recipe.evaluation.prompts),
        settings={
            "selection": recipe.curation.selection.model_dump(),
            "contamination_ngram_words": recipe.curation.contamination_ngram_words,
            # Read for texts and addresses, which equal ratings do not tell apart.
            "pairs": [m.content_hash for m in datasets.manifests(AUGMENTED_SET, shards)],
            "pages": [m.content_hash for m in datasets.manifests(SEGMENTS, shards)],
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    scores = datasets.scan_partitions(scores_name(iteration), shards)
    augmented = datasets.scan_partitions(AUGMENTED_SET, shards)
    # One page can lie in several shards, and then its segments do: one row of each, or the join
    # would rate a pair twice.
    places = datasets.scan_partitions(SEGMENTS, shards).select("segment_id", "url")
    urls = places.unique("segment_id", keep="first", maintain_order=True)
    rated = (
        scores.select("segment_id", "rating")
        .join(augmented.select("segment_id", "instruction", "output"), on="segment_id")
        .join(urls, on="segment_id", how="left")
        .sort("segment_id")
        .collect()
    )
    prompts = read_evaluation_prompts(recipe.evaluation.prompts)
    result = select_pairs(
        rated,
        recipe.curation.selection,
        seeds=datasets.read(SEED_PAIRS),
        evaluation_texts=[text for p in prompts for text in (p.instruction, p.output) if text],
        contamination_ngram_words=recipe.curation.contamination_ngram_words,
    )
    kept = result.kept.with_columns(
        pair_id=pl.format("web-{}", pl.col("segment_id")),
    ).select(list(CURATED_SCHEMA))
    return workspace.write_dataset(
        origin,
        kept,
        CURATED_SCHEMA,
        facts={
            "n_rated": rated.height,
            "dropped": result.dropped,
            "lowest_rating_kept": kept["rating"].min() if kept.height else None,
            "advice": "" if kept.height else _advice(rated, recipe.curation.selection.min_rating),
        },
    )


def _check_ratings_are_of_these_pairs(
    workspace: Workspace, iteration: int, shards: Sequence[str]
) -> None:
    for shard in shards:
        pairs = workspace.datasets.manifest(AUGMENTED_SET, shard)
        rated = workspace.datasets.manifest(scores_name(iteration), shard).inputs.get(pairs.key)
        if rated != pairs.content_hash:
            raise StaleRatingsError(
                f"{scores_name(iteration)} of shard {shard!r} rates an older augmented set than "
                f"the current one; materialise {scores_name(iteration)} for that shard first."
            )


def _advice(rated: pl.DataFrame, min_rating: float | None) -> str:
    if not rated.height:
        return "No pair was rated: look at the yield of clueweb_segments and augmented_set."
    best = float(rated.select(pl.col("rating").max()).item())
    return (
        f"The best of {rated.height} ratings is {best:.2f}, the threshold {min_rating}. A small "
        "rater uses little of the scale: set curation.selection.top_fraction, lower min_rating, or "
        "use a larger base model."
    )
