"""Ratings of pairs whose quality is known, by one model and every compared scorer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.known_pairs import LABELLED, SEED, KnownPair, known_pairs
from humpback_pipeline.stages.seen_pairs import is_enough
from humpback_pipeline.stages.workspace import Workspace

if TYPE_CHECKING:
    from humpback_pipeline.curation import Calibration, Pair, Raters, Rating, Scoring

CALIBRATION_SCHEMA = {
    "set": pl.String,
    "pair_id": pl.String,
    "label": pl.Int64,
    "kind": pl.String,
    "scorer": pl.String,
    "rating": pl.Float64,
    "value": pl.Float64,
    "relevance_forward": pl.Float64,
    "relevance_backward": pl.Float64,
    "completeness": pl.Float64,
    "error": pl.String,
    "seen": pl.Boolean,
}


def compared_scorers(workspace: Workspace) -> list[str]:
    """The recipe's scorer and those it is compared with, each once."""
    recipe = workspace.recipe
    return list(dict.fromkeys((recipe.curation.scorer, *recipe.evaluation.scorers)))


def rate_known_pairs(
    workspace: Workspace,
    rater: str,
    model: Path,
    backward: str,
    on_progress: OnProgress = ignore_progress,
) -> tuple[pl.DataFrame, Calibration | None]:
    """Ratings of all known pairs by the model in the directory `model`; `CALIBRATION_SCHEMA`.

    rater: what the ledger calls it. backward: name of the M_yx that reads along. For scorer
    `calibrated` the labelled pairs have out-of-fold ratings, by fits that have not seen them; it is
    left out where there are too few labels to fit one.
    """
    from humpback_pipeline.curation import Pair, Raters, Scoring, find_scorer, read_instructions

    known = known_pairs(workspace)
    pairs = [Pair(one.instruction, one.output, one.pair_id) for one in known]
    scorers = _rankable(compared_scorers(workspace), known, workspace.recipe.curation.scorer)
    scoring = Scoring(
        prompts=workspace.prompts,
        settings=workspace.recipe.curation,
        ledger=workspace.ledger("rater_calibration", rater),
        backward_ledger=workspace.ledger("rater_calibration", backward),
        chunk_size=workspace.recipe.generation.chunk_size,
        on_progress=on_progress,
        cache_dir=workspace.cache_dir,
    )
    reads_likelihoods = any(find_scorer(name).needs_reference for name in scorers)
    reader = None
    if reads_likelihoods:  # else a server need not have M_yx
        with workspace.lazy_generator(workspace.models.path(backward)) as reader:
            read_instructions(pairs, reader, scoring)
    with workspace.lazy_generator(model) as generator:
        return _rate(known, pairs, scorers, Raters.of(generator, reader), scoring)


def _rankable(scorers: Sequence[str], known: Sequence[KnownPair], used: str) -> Sequence[str]:
    """The scorers, less those compared only that would rank by too few seed pairs.

    Raises ReferencePairsError where the scorer in use would.
    """
    from humpback_pipeline.curation import (
        MIN_REFERENCE_PAIRS,
        check_enough_to_rank_by,
        find_scorer,
    )

    n_seeds = sum(one.set == SEED for one in known)
    if n_seeds >= MIN_REFERENCE_PAIRS:
        return scorers
    if find_scorer(used).needs_reference:
        check_enough_to_rank_by(n_seeds)
    return [name for name in scorers if name == used or not find_scorer(name).needs_reference]


def _rate(
    known: Sequence[KnownPair],
    pairs: Sequence[Pair],
    scorers: Sequence[str],
    raters: Raters,
    scoring: Scoring,
) -> tuple[pl.DataFrame, Calibration | None]:
    from humpback_pipeline.curation import Reference, find_scorer, pair_signals

    kinds = {name: find_scorer(name) for name in scorers}
    if any(kind.needs_reference for kind in kinds.values()):
        signals = pair_signals(pairs, raters, scoring)
        seeds = [s for s, one in zip(signals, known, strict=True) if one.set == SEED]
        scoring = replace(scoring, reference=Reference.of(s.as_dict() for s in seeds))
    frames = [
        _frame(known, kind.rate(pairs, raters, scoring))
        for kind in kinds.values()
        if not kind.needs_labels
    ]
    calibration = None
    for kind in kinds.values():
        if kind.needs_labels:
            calibration, ratings = _calibrated(known, pairs, raters, scoring)
            if ratings:
                frames.append(_frame(known, ratings))
    return pl.concat(frames), calibration


def _calibrated(
    known: Sequence[KnownPair], pairs: Sequence[Pair], raters: Raters, scoring: Scoring
) -> tuple[Calibration | None, list[Rating]]:
    """The calibration, and ratings by it; those of pairs it is fitted on by fits that lack them.

    A fit that lacks a pair lacks those with a text of it too. Raises CalibrationError on too few
    labels if curation rates by it; else nothing is to be shown.
    """
    from humpback_pipeline.curation import (
        CalibrationError,
        SharedTexts,
        calibrated_scorer,
        calibration_signals,
        fit_calibration,
        out_of_fold_probabilities,
        rating_of_probability,
    )

    assert scoring.reference is not None
    signals = calibration_signals(pairs, raters, scoring)
    places = _places_to_fit(known, signals)
    labelled = [signals[i] for i in places]
    labels = [known[i].label == 1 for i in places]
    shared = SharedTexts.of([pairs[i] for i in places])
    try:
        calibration = fit_calibration(labelled, labels, scoring.reference, shared)
        unseen = out_of_fold_probabilities(labelled, labels, scoring.reference, shared)
    except CalibrationError:
        if scoring.settings.scorer == "calibrated":
            raise
        return None, []
    ratings = calibrated_scorer(pairs, raters, replace(scoring, calibration=calibration))
    for place, probability in zip(places, unseen, strict=True):
        if ratings[place].error is None:
            rating = rating_of_probability(probability)
            ratings[place] = replace(ratings[place], rating=rating, value=probability)
    return calibration, ratings


def _places_to_fit(known: Sequence[KnownPair], signals: Sequence[Mapping[str, float]]) -> list[int]:
    """Places of the labelled pairs that M_0 was not trained on; of all if those are too few."""
    from humpback_pipeline.curation.calibration import MIN_LABELS, MIN_OF_EITHER

    labelled = [
        i
        for i, one in enumerate(known)
        if one.set == LABELLED and all(map(math.isfinite, signals[i].values()))
    ]
    unseen = [i for i in labelled if not known[i].seen]
    labels = [known[i].label for i in unseen]
    return unseen if is_enough(labels, MIN_LABELS, MIN_OF_EITHER) else labelled


def signal_columns(ratings: Sequence[Rating]) -> dict[str, list[float | None]]:
    """Each likelihood signal of the ratings; None where a scorer has none of it.

    No number is no signal; and the bits of NaN differ between an engine and a ledger.
    """
    from humpback_pipeline.curation import SIGNALS

    def column(name: str) -> list[float | None]:
        signals = (rating.signals.get(name) for rating in ratings)
        return [None if one is None or math.isnan(one) else one for one in signals]

    return {name: column(name) for name in SIGNALS}


def _frame(known: Sequence[KnownPair], ratings: Sequence[Rating]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "set": [one.set for one in known],
            "pair_id": [one.pair_id for one in known],
            "label": [one.label for one in known],
            "kind": [one.kind for one in known],
            "scorer": [rating.scorer for rating in ratings],
            "rating": [rating.rating for rating in ratings],
            "value": [rating.value for rating in ratings],
            **signal_columns(ratings),
            "error": [rating.error for rating in ratings],
            "seen": [one.seen for one in known],
        },
        schema=CALIBRATION_SCHEMA,
    )
