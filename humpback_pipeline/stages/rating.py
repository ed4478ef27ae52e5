"""Rating stage: every augmented pair is rated by M_{t-1} (paper section 2.3)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.augmentation import augmented_set_name, backward_model_name
from humpback_pipeline.stages.carrying import carry_shard
from humpback_pipeline.stages.iteration_names import model_name, scores_name
from humpback_pipeline.stages.known_ratings import signal_columns
from humpback_pipeline.stages.rater_calibration import (
    rating_settings,
    scorer_inputs,
    scoring_of,
)
from humpback_pipeline.stages.sharded import write_shards
from humpback_pipeline.stages.stopping import stopped_at
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Origin

if TYPE_CHECKING:
    from humpback_pipeline.curation import Pair, Rating, Scoring
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
    "value": pl.Float64,
    "mass": pl.Float64,
    "relevance_forward": pl.Float64,
    "relevance_backward": pl.Float64,
    "completeness": pl.Float64,
    "error": pl.String,
}

# A rater that gives all five digits together less than this has not followed the rubric: what they
# say of the pair is noise.
NO_DIGIT_MASS = 0.01


def write_curation_scores(
    workspace: Workspace,
    iteration: int,
    shards: Sequence[str],
    on_progress: OnProgress = ignore_progress,
) -> Iterator[tuple[str, Manifest]]:
    """Rate each shard's augmented set with M_{t-1}, on as many engines as there are free GPUs.

    Columns: `SCORES_SCHEMA`; probabilities and their mass, rationale and signals where the scorer
    has them. Answers go to ledgers as they come, so a killed run resumes. Where likelihoods are
    read, M_yx reads all shards first, so that two models need not be in memory at once.
    """
    from humpback_pipeline.curation import find_scorer

    if iteration > 1 and stopped_at(workspace, iteration - 1) is not None:
        for shard in shards:
            before = scores_name(iteration - 1)
            yield shard, carry_shard(workspace, scores_name(iteration), before, shard)
        return
    # Not the calibration whole, which every labelled pair that is added changes.
    used = scorer_inputs(workspace, iteration)
    origins = {shard: _scores_origin(workspace, iteration, shard, used) for shard in shards}
    pending = [s for s, origin in origins.items() if not workspace.unchanged_dataset(origin, s)]
    if pending and find_scorer(workspace.recipe.curation.scorer).needs_reference:
        _read_backward(workspace, iteration, pending, on_progress)

    def write_shard(
        generator: TextGenerator, shard: str, on_progress: OnProgress = ignore_progress
    ) -> Manifest:
        return _write_shard(workspace, iteration, origins[shard], shard, generator, on_progress)

    rater = model_name(iteration - 1)
    yield from write_shards(workspace, rater, origins, write_shard, on_progress)


def _read_backward(
    workspace: Workspace, iteration: int, shards: Sequence[str], on_progress: OnProgress
) -> None:
    from humpback_pipeline.curation import read_instructions
    from humpback_pipeline.generation import for_each_shard

    def read(generator: TextGenerator, shard: str, on_progress: OnProgress) -> None:
        scoring = _scoring(workspace, iteration, shard, on_progress)
        read_instructions(_pairs(workspace, iteration, shard), generator, scoring)

    model = workspace.models.path(backward_model_name(workspace.recipe, iteration))
    for _ in for_each_shard(
        list(shards),
        lambda slot: workspace.open_lazily(model, slot),
        read,
        settings=workspace.recipe.generation,
        on_progress=on_progress,
    ):
        pass


def _write_shard(
    workspace: Workspace,
    iteration: int,
    origin: Origin,
    shard: str,
    generator: TextGenerator,
    on_progress: OnProgress,
) -> Manifest:
    from humpback_pipeline.curation import Raters, find_scorer

    recipe = workspace.recipe
    pairs = _pairs(workspace, iteration, shard)
    scorer = find_scorer(recipe.curation.scorer)
    scoring = _scoring(workspace, iteration, shard, on_progress)
    with ExitStack() as stack:
        reader = None
        if scorer.needs_reference:  # else a server need not have M_yx
            backward = workspace.models.path(backward_model_name(recipe, iteration))
            # Its answers are in the ledger by now, so this engine does not start.
            reader = stack.enter_context(workspace.open_lazily(backward))
        ratings = scorer.rate(pairs, Raters.of(generator, reader), scoring)
    frame = _scores_frame(pairs, ratings)
    in_range = frame.filter(pl.col("rating").is_between(1.0, 5.0))
    return workspace.write_dataset(
        origin,
        frame,
        SCORES_SCHEMA,
        partition=shard,
        facts={
            "rater": model_name(iteration - 1),
            "scorer": recipe.curation.scorer,
            "mean_rating": frame["rating"].mean(),
            "n_out_of_range": frame.height - in_range.height,
            "n_truncated": sum(rating.prompt_cut for rating in ratings),
            "mean_mass": frame["mass"].mean(),
            "n_without_digit": (frame["mass"] < NO_DIGIT_MASS).sum(),
            "errors": dict(frame["error"].drop_nulls().value_counts().iter_rows()),
        },
    )


def _pairs(workspace: Workspace, iteration: int, shard: str) -> list[Pair]:
    from humpback_pipeline.curation import Pair

    rows = workspace.datasets.read(augmented_set_name(workspace.recipe, iteration), shard)
    return [
        Pair(row["instruction"], row["output"], pair_id=row["segment_id"])
        for row in rows.iter_rows(named=True)
    ]


def _scoring(workspace: Workspace, iteration: int, shard: str, on_progress: OnProgress) -> Scoring:
    backward = backward_model_name(workspace.recipe, iteration)
    return scoring_of(
        workspace,
        iteration,
        ledger=workspace.ledger(scores_name(iteration), shard),
        backward_ledger=workspace.ledger(f"{backward}_readings", shard),
        on_progress=on_progress,
    )


def _scores_frame(pairs: Sequence[Pair], ratings: Sequence[Rating]) -> pl.DataFrame:
    digits = {
        f"p{digit}": [r.probabilities[digit - 1] if r.probabilities else None for r in ratings]
        for digit in range(1, 6)
    }
    return pl.DataFrame(
        {
            "segment_id": [pair.pair_id for pair in pairs],
            "rating": [rating.rating for rating in ratings],
            **digits,
            "rationale": [rating.rationale for rating in ratings],
            "scorer": [rating.scorer for rating in ratings],
            "value": [rating.value for rating in ratings],
            "mass": [rating.mass for rating in ratings],
            **signal_columns(ratings),
            "error": [rating.error for rating in ratings],
        },
        schema=SCORES_SCHEMA,
    )


def _scores_origin(
    workspace: Workspace, iteration: int, shard: str, from_calibration: Mapping[str, Any]
) -> Origin:
    from humpback_pipeline.curation import find_scorer

    recipe = workspace.recipe
    scorer = recipe.curation.scorer
    inputs = [
        workspace.datasets.manifest(augmented_set_name(recipe, iteration), shard),
        workspace.models.manifest(model_name(iteration - 1)),
    ]
    if find_scorer(scorer).needs_reference:
        inputs.append(workspace.models.manifest(backward_model_name(recipe, iteration)))
    return workspace.origin(
        scores_name(iteration),
        inputs=inputs,
        sources=workspace.prompt_sources("rating", "tags", "backward"),
        settings={
            "scorer": scorer,
            "rating": rating_settings(workspace, [scorer]),
            "from_calibration": from_calibration,
        },
    )
