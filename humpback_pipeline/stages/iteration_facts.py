"""What is measured of each iteration: its rater on labelled pairs, its set against the last."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from humpback_pipeline.stages.augmentation import augmented_set_name
from humpback_pipeline.stages.iteration_names import (
    calibration_name,
    curated_set_name,
    model_name,
    scores_name,
)
from humpback_pipeline.stages.known_pairs import LABELLED
from humpback_pipeline.stages.seen_pairs import measured_rows
from humpback_pipeline.stages.workspace import Workspace

N_SAMPLES = 5
# Manifests are read often.
MAX_SAMPLE_CHARS = 300


def labelled_ratings(workspace: Workspace, iteration: int) -> pl.DataFrame:
    """M_{t-1}'s ratings of the labelled pairs by the recipe's scorer: columns rating and label.

    Of pairs that no model was trained on, if there are enough of them.
    """
    calibration = workspace.datasets.read(calibration_name(iteration))
    return (
        measured_rows(calibration.filter(pl.col("set") == LABELLED))
        .filter(pl.col("scorer") == workspace.recipe.curation.scorer)
        .select(pl.col("rating").fill_nan(None), "label")
        .drop_nulls()
    )


def rater_quality(labelled: pl.DataFrame, iteration: int, cut: float | None) -> dict[str, Any]:
    """Precision, recall and AUC of the rater M_{t-1}, if labelled pairs were cut like the others.

    cut: the lowest rating that the selection let through. What cannot be told is None: precision
    where no labelled pair is rated as high, AUC where all labels are the same.
    """
    from humpback_pipeline.curation.precision import precision_at
    from humpback_pipeline.evaluation import precision_recall

    good = (labelled["label"] == 1).to_list()
    facts: dict[str, Any] = {
        "rater": model_name(iteration - 1),
        "threshold": cut,
        "labelled": len(good),
        "labelled_good": sum(good),
        "labelled_kept": 0,
        **dict.fromkeys(("precision", "precision_low", "precision_high", "recall", "auc")),
    }
    if not good:
        return facts
    at = precision_recall(labelled["rating"].to_list(), good, math.inf if cut is None else cut)
    if 0 < at.n_positive < at.n:
        facts["auc"] = at.auc
    if at.n_positive:
        facts["recall"] = at.recall
    if cut is not None and (precision := precision_at(labelled, cut)) is not None:
        facts |= {
            "labelled_kept": precision.n_selected,
            "precision": precision.precision,
            "precision_low": precision.low,
            "precision_high": precision.high,
        }
    return facts


def overlap_with_last(
    workspace: Workspace, iteration: int, kept: pl.DataFrame, shards: Sequence[str]
) -> dict[str, Any]:
    """A^(t) against A^(t-1): Jaccard similarity, pairs gained and lost, with samples.

    Pairs are the same by segment, and by instruction as well where it was written anew.

    `rating_correlation` is Pearson's over all pairs that both raters rated, `rank_correlation`
    Spearman's; None where ratings are all alike.
    """
    last = workspace.datasets.read(curated_set_name(iteration - 1))
    now, before = (_ratings(workspace, t, shards) for t in (iteration, iteration - 1))
    both = now.join(before, on="segment_id", suffix="_before").collect()
    recipe = workspace.recipe
    rewritten = augmented_set_name(recipe, iteration) != augmented_set_name(recipe, iteration - 1)
    same = ["segment_id", "instruction"] if rewritten else ["segment_id"]
    n_both = kept.join(last, on=same, how="semi").height
    n_either = kept.height + last.height - n_both
    gained = kept.join(last, on=same, how="anti")
    lost = last.join(kept, on=same, how="anti")
    ratings = (pl.col("rating"), pl.col("rating_before"))
    return {
        "jaccard": n_both / n_either if n_either else 1.0,
        "in_both": n_both,
        "gained": gained.height,
        "lost": lost.height,
        "rating_correlation": _number(both.select(pl.corr(*ratings)).item()),
        "rank_correlation": _number(both.select(pl.corr(*ratings, method="spearman")).item()),
        "gained_samples": _samples(gained.sort("rating", "segment_id", descending=True), both),
        "lost_samples": _samples(lost.sort("rating", "segment_id", descending=True), both),
    }


def iteration_row(
    iteration: int,
    n_rated: int,
    kept: pl.DataFrame,
    quality: Mapping[str, Any],
    overlap: Mapping[str, Any] | None,
    note: str = "",
) -> dict[str, Any]:
    """One line of the table over iterations."""
    overlap = overlap or {}
    return {
        "iteration": iteration,
        "rater": quality["rater"],
        "rated": n_rated,
        "kept": kept.height,
        "lowest_rating": kept["rating"].min() if kept.height else None,
        **{name: overlap.get(name) for name in ("jaccard", "gained", "lost", "rating_correlation")},
        **{
            name: quality[name]
            for name in ("precision", "precision_low", "precision_high", "recall", "auc")
        },
        "note": note,
    }


def _ratings(workspace: Workspace, iteration: int, shards: Sequence[str]) -> pl.LazyFrame:
    datasets, name = workspace.datasets, scores_name(iteration)
    there = [shard for shard in shards if datasets.versions(name, shard).has_current()]
    return datasets.scan_partitions(name, there).select("segment_id", "rating")


def _samples(pairs: pl.DataFrame, ratings: pl.DataFrame) -> list[dict[str, Any]]:
    """The first few pairs with their ratings by this rater and by the one before."""
    texts = [pl.col(name).str.slice(0, MAX_SAMPLE_CHARS) for name in ("instruction", "output")]
    return (
        pairs.head(N_SAMPLES)
        .select("segment_id", *texts)
        .join(ratings, on="segment_id", how="left", maintain_order="left")
        .select("rating_before", "rating", "instruction", "output", "segment_id")
        .to_dicts()
    )


def _number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
