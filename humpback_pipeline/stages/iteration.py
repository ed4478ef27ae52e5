"""Iteration stages after the rating: keep the best, train M_t (paper section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.augmentation import augmented_set_name
from humpback_pipeline.stages.carrying import (
    CARRIED_FROM,
    carry_curated_set,
    carry_model,
    is_carried,
)
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.curated_facts import drop_samples, selection_facts
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.iteration_facts import (
    iteration_row,
    labelled_ratings,
    overlap_with_last,
    rater_quality,
)
from humpback_pipeline.stages.iteration_names import (
    calibration_name,
    curated_set_name,
    model_name,
    scores_name,
)
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.stopping import STOPPED, decide_stop, stopped_at
from humpback_pipeline.stages.training import train_and_save
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Origin

if TYPE_CHECKING:
    from humpback_pipeline.curation import Selection
    from humpback_pipeline.training import OnEvent

CURATED_SCHEMA = {
    "pair_id": pl.String,
    "segment_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "rating": pl.Float64,
    "url": pl.String,
}
# Facts that describe the rows of a set, and go with them when they are carried on.
_OF_THE_ROWS = (
    "rows_of",
    "quality",
    "n_rated",
    "dropped",
    "drop_samples",
    "cut",
    "lowest_rating_kept",
    "target_precision",
    "target_reached",
    "histogram",
    "most_pairs_host",
    "advice",
)


class StaleRatingsError(ValueError):
    """Ratings belong to other pairs than the current ones."""


def train_forward_model(
    workspace: Workspace,
    iteration: int,
    on_progress: OnProgress = ignore_progress,
    on_event: OnEvent | None = None,
) -> Manifest:
    """Train M_t: the base on the seeds alone (t = 0), or on the seeds and A_k^(t).

    Where A^(t) is A^(t-1) carried on, so is the model.
    """
    if iteration and is_carried(workspace, iteration):
        return carry_model(workspace, iteration)
    return train_and_save(
        workspace,
        model_name(iteration),
        direction="forward",
        curated_set=curated_set_name(iteration) if iteration else None,
        on_progress=on_progress,
        on_event=on_event,
    )


def write_curated_set(workspace: Workspace, iteration: int, shards: Sequence[str]) -> Manifest:
    """Select A_k^(t) over all shards: rated high enough, no duplicate, no seed, no test prompt.

    The facts tell how good the rater is on labelled pairs, how the set differs from the last, and
    whether the recipe's stop rule ends iterating here; then A^(t-1) may be carried on instead.
    Raises StaleRatingsError, NotMaterializedError.
    """
    if stopped_at(workspace, iteration - 1) is not None:
        return carry_curated_set(workspace, iteration)
    _check_ratings_are_of_these_pairs(workspace, iteration, shards)
    origin = _origin(workspace, iteration, shards)
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    labelled = labelled_ratings(workspace, iteration)
    result, facts = _select(workspace, iteration, shards, labelled)
    kept, ratings = result.kept, facts["n_rated"]
    quality = rater_quality(labelled, iteration, result.cut)
    facts |= {"quality": quality, "overlap": None, STOPPED: None, CARRIED_FROM: None}
    facts["rows_of"] = iteration  # whose ratings chose the rows
    rows = []
    if iteration > 1:
        last = workspace.datasets.manifest(curated_set_name(iteration - 1))
        overlap = overlap_with_last(workspace, iteration, kept, shards)
        rule = workspace.recipe.curation.stop
        stop = decide_stop(
            rule, iteration, overlap["jaccard"], quality, dict(last.facts["quality"])
        )
        rows = list(last.facts["iterations"])
        rows.append(iteration_row(iteration, ratings, kept, quality, overlap, str(stop or "")))
        facts |= {"overlap": overlap, STOPPED: stop.as_dict() if stop else None}
        if stop is not None and stop.keep_last:
            kept = workspace.datasets.read(last.name)
            facts |= {name: last.facts[name] for name in _OF_THE_ROWS}
            facts[CARRIED_FROM] = last.name
    else:
        rows.append(iteration_row(iteration, ratings, kept, quality, None))
    return workspace.write_dataset(
        origin, kept, CURATED_SCHEMA, facts={**facts, "iterations": rows}
    )


def _origin(workspace: Workspace, iteration: int, shards: Sequence[str]) -> Origin:
    recipe, datasets = workspace.recipe, workspace.datasets
    pairs = augmented_set_name(recipe, iteration)
    inputs = [
        *datasets.manifests(scores_name(iteration), shards),
        datasets.manifest(calibration_name(iteration)),
        datasets.manifest(SEED_PAIRS),
    ]
    settings: dict[str, Any] = {
        "selection": recipe.curation.selection.model_dump(),
        "scorer": recipe.curation.scorer,
        "contamination_ngram_words": recipe.curation.contamination_ngram_words,
        # Read for texts and addresses, which equal ratings do not tell apart.
        "pairs": [m.content_hash for m in datasets.manifests(pairs, shards)],
        "pages": [m.content_hash for m in datasets.manifests(SEGMENTS, shards)],
    }
    if iteration > 1:
        last = datasets.manifest(curated_set_name(iteration - 1))
        if "quality" not in last.facts:
            raise StaleRatingsError(
                f"{last.name} was made by an earlier release, without the figures that "
                f"{curated_set_name(iteration)} is compared with; materialise {last.name} first."
            )
        inputs.append(last)
        stop = recipe.curation.stop
        settings["stop"] = stop.model_dump() if stop else None
        # The facts compare with these, and equal rows can have others.
        settings["before"] = [last.facts["quality"], last.facts["iterations"]]
        settings["ratings_before"] = [
            datasets.manifest(scores_name(iteration - 1), shard).content_hash
            for shard in shards
            if datasets.versions(scores_name(iteration - 1), shard).has_current()
        ]
    return workspace.origin(
        curated_set_name(iteration),
        inputs=inputs,
        sources=file_source(recipe.evaluation.prompts, "evaluation.prompts"),
        settings=settings,
    )


def _select(
    workspace: Workspace, iteration: int, shards: Sequence[str], labelled: pl.DataFrame
) -> tuple[Selection, dict[str, Any]]:
    """The selection, its kept rows in the schema of curated sets; and the facts about it."""
    from humpback_pipeline.curation import select_pairs
    from humpback_pipeline.seeds import read_evaluation_prompts

    recipe, datasets = workspace.recipe, workspace.datasets
    scores = datasets.scan_partitions(scores_name(iteration), shards)
    augmented = datasets.scan_partitions(augmented_set_name(recipe, iteration), shards)
    pairs = augmented.select("segment_id", "instruction", "output")
    prompts = read_evaluation_prompts(recipe.evaluation.prompts)
    result = select_pairs(
        scores.select("segment_id", "rating", "value").join(pairs, on="segment_id"),
        recipe.curation.selection,
        seeds=datasets.read(SEED_PAIRS),
        evaluation_texts=[text for p in prompts for text in (p.instruction, p.output) if text],
        contamination_ngram_words=recipe.curation.contamination_ngram_words,
        labelled=labelled,
    )
    # One page can lie in several shards, and then its segments do: one row of each, or the join
    # would keep a pair twice.
    places = datasets.scan_partitions(SEGMENTS, shards).select("segment_id", "url")
    urls = places.unique("segment_id", keep="first", maintain_order=True)
    rated = scores.select("segment_id", "rating").join(urls, on="segment_id", how="left").collect()
    kept = result.kept.join(
        rated.select("segment_id", "url"), on="segment_id", how="left", maintain_order="left"
    )
    facts = selection_facts(
        result, recipe.curation.selection, rated["rating"], kept["url"], rated["url"]
    )
    facts["drop_samples"] = drop_samples(result, pairs)
    kept = kept.with_columns(pair_id=pl.format("web-{}", pl.col("segment_id")))
    return replace(result, kept=kept.select(list(CURATED_SCHEMA))), facts


def _check_ratings_are_of_these_pairs(
    workspace: Workspace, iteration: int, shards: Sequence[str]
) -> None:
    name = augmented_set_name(workspace.recipe, iteration)
    for shard in shards:
        pairs = workspace.datasets.manifest(name, shard)
        rated = workspace.datasets.manifest(scores_name(iteration), shard).inputs.get(pairs.key)
        if rated != pairs.content_hash:
            raise StaleRatingsError(
                f"{scores_name(iteration)} of shard {shard!r} rates an older augmented set than "
                f"the current one; materialise {scores_name(iteration)} for that shard first."
            )
