"""How each rater rates pairs whose quality is known: what its ratings of the rest mean.

The seed pairs' likelihoods are what percentile ranks are taken against, in every shard alike; the
labelled pairs say how precise a threshold is, and fit the calibrated scorer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.augmentation import backward_model_name
from humpback_pipeline.stages.iteration_names import calibration_name, model_name
from humpback_pipeline.stages.known_pairs import (
    LABELLED,
    SEED,
    KnownPair,
    known_pairs,
    known_pairs_sources,
)
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

if TYPE_CHECKING:
    from humpback_pipeline.curation import Calibration, Pair, Raters, Rating, Scoring
    from humpback_pipeline.generation import Ledger

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
}


def compared_scorers(workspace: Workspace) -> list[str]:
    """The recipe's scorer and those it is compared with, each once."""
    recipe = workspace.recipe
    return list(dict.fromkeys((recipe.curation.scorer, *recipe.evaluation.scorers)))


def write_rater_calibration(
    workspace: Workspace, iteration: int, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Rate all known pairs with M_{t-1}, by every compared scorer. Columns: `CALIBRATION_SCHEMA`.

    Ratings go to a ledger as they come, so a killed run resumes. The calibration, if one could be
    fitted, is in the facts.
    """
    rater = model_name(iteration - 1)
    backward = backward_model_name(workspace.recipe, iteration)
    recipe = workspace.recipe
    origin = workspace.origin(
        calibration_name(iteration),
        inputs=[
            workspace.models.manifest(rater),
            workspace.models.manifest(backward),
            workspace.datasets.manifest(SEED_PAIRS),
        ],
        sources=known_pairs_sources(workspace).merged(
            [workspace.prompt_sources("rating", "tags", "backward")]
        ),
        settings={
            "scorers": compared_scorers(workspace),
            "rating": rating_settings(workspace, compared_scorers(workspace)),
            "max_reference_pairs": recipe.curation.max_reference_pairs,
            "max_preferences": recipe.evaluation.max_preferences,
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    frame, calibration = rate_known_pairs(
        workspace, rater, workspace.models.path(rater), backward, on_progress
    )
    facts = {
        "rater": rater,
        "backward_model": backward,
        "calibration": calibration.as_dict() if calibration is not None else None,
        "n_errors": frame.filter(pl.col("error").is_not_null()).height,
    }
    return workspace.write_dataset(origin, frame, CALIBRATION_SCHEMA, facts=facts)


def rating_settings(workspace: Workspace, scorers: Sequence[str]) -> dict[str, object]:
    """Settings that shape ratings by `scorers`. Raises BaseModelError for an external model."""
    from humpback_pipeline.curation import external_model_hash

    curation = workspace.recipe.curation
    settings: dict[str, object] = {
        "reasoned": curation.reasoned.model_dump(),
        "external": curation.external.model_dump() if curation.external else None,
        "generation": workspace.generation_settings(),
    }
    if curation.external is not None and "external" in scorers:
        # Its name or folder can come to stand for another model.
        settings["external_model"] = external_model_hash(curation.external)
    return settings


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


def scoring_of(
    workspace: Workspace,
    iteration: int,
    *,
    ledger: Ledger,
    backward_ledger: Ledger,
    on_progress: OnProgress = ignore_progress,
) -> Scoring:
    """How iteration t rates: against M_{t-1}'s own likelihoods for the seeds, in every shard alike.

    Raises NotMaterializedError before the rater calibration is made, ReferencePairsError.
    """
    from humpback_pipeline.curation import SIGNALS, Calibration, Reference, Scoring, find_scorer

    recipe = workspace.recipe
    reference = calibration = None
    if find_scorer(recipe.curation.scorer).needs_reference:
        name = calibration_name(iteration)
        rows = workspace.datasets.read(name).filter(
            pl.col("set") == SEED, pl.col("completeness").is_not_null()
        )
        # Each scorer that reads likelihoods has written the same signals.
        seeds = rows.unique("pair_id", keep="first", maintain_order=True)
        reference = Reference.of(seeds.select(SIGNALS).iter_rows(named=True))
        fitted = workspace.datasets.manifest(name).facts["calibration"]
        calibration = Calibration.from_dict(fitted) if fitted else None
    return Scoring(
        prompts=workspace.prompts,
        settings=recipe.curation,
        reference=reference,
        calibration=calibration,
        ledger=ledger,
        backward_ledger=backward_ledger,
        chunk_size=recipe.generation.chunk_size,
        on_progress=on_progress,
    )


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
    """The calibration, and ratings by it; those of labelled pairs by fits that lack the pair.

    Raises CalibrationError on too few labels if curation rates by it; else nothing is to be shown.
    """
    from humpback_pipeline.curation import (
        CalibrationError,
        calibrated_scorer,
        calibration_signals,
        fit_calibration,
        out_of_fold_probabilities,
    )

    assert scoring.reference is not None
    signals = calibration_signals(pairs, raters, scoring)
    places = [
        i
        for i, one in enumerate(known)
        if one.set == LABELLED and all(map(math.isfinite, signals[i].values()))
    ]
    labelled = [signals[i] for i in places]
    labels = [known[i].label == 1 for i in places]
    try:
        calibration = fit_calibration(labelled, labels, scoring.reference)
        unseen = out_of_fold_probabilities(labelled, labels, scoring.reference)
    except CalibrationError:
        if scoring.settings.scorer == "calibrated":
            raise
        return None, []
    ratings = calibrated_scorer(pairs, raters, replace(scoring, calibration=calibration))
    for place, probability in zip(places, unseen, strict=True):
        rating = 1.0 + 4.0 * probability
        ratings[place] = replace(ratings[place], rating=rating, value=probability)
    return calibration, ratings


def _frame(known: Sequence[KnownPair], ratings: Sequence[Rating]) -> pl.DataFrame:
    from humpback_pipeline.curation import SIGNALS

    return pl.DataFrame(
        {
            "set": [one.set for one in known],
            "pair_id": [one.pair_id for one in known],
            "label": [one.label for one in known],
            "kind": [one.kind for one in known],
            "scorer": [rating.scorer for rating in ratings],
            "rating": [rating.rating for rating in ratings],
            "value": [rating.value for rating in ratings],
            **{name: [rating.signals.get(name) for rating in ratings] for name in SIGNALS},
            "error": [rating.error for rating in ratings],
        },
        schema=CALIBRATION_SCHEMA,
    )
