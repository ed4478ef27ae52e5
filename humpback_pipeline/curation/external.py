"""Ratings by a cross-encoder made elsewhere: an NLI, relevance or reward model, by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from humpback_pipeline.curation.cross_encoder import CrossEncoder
from humpback_pipeline.curation.likelihood_scorers import EMPTY_PAIR, NO_NUMBER
from humpback_pipeline.curation.records import LOWEST, Pair, Rating, pair_ids
from humpback_pipeline.curation.scoring import Raters, Scoring
from humpback_pipeline.generation import (
    Feed,
    LazyGenerator,
    Stream,
    answer_with_ledger,
    in_batches,
    ledger_key,
)
from humpback_pipeline.generation.ledger import Answer
from humpback_pipeline.recipe_curation import ExternalScorerRecipe


def external_scorer(pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[Rating]:
    """1 + 4 p, where p is the model's probability that the output answers the instruction.

    The raters are not asked. A reward has no scale of its own; its sigmoid is the probability that
    a Bradley-Terry model prefers it to a reward of 0. Raises CrossEncoderError, BaseModelError.
    """
    settings = scoring.settings.external
    if settings is None:
        raise ValueError("scorer 'external' needs the section curation.external (model, kind)")
    rated = [pair for pair in pairs if _is_whole(pair)]
    answers = answer_with_ledger(
        rated,
        _keys(pairs, settings, scoring.cache_dir),
        partial(_answering, settings, scoring.cache_dir, _device(raters)),
        ledger=scoring.ledger_of("external"),
        chunk_size=scoring.chunk_size,
        stage="rating",
        unit="pairs",
        length=lambda pair: len(pair.instruction) + len(pair.output),
        on_progress=scoring.on_progress,
    )
    found = iter(answers)
    return [
        _rating(next(found))
        if _is_whole(pair)
        else Rating(LOWEST, "external", -math.inf, error=EMPTY_PAIR)
        for pair in pairs
    ]


def _is_whole(pair: Pair) -> bool:
    return bool(pair.instruction.strip() and pair.output.strip())


def _keys(
    pairs: Sequence[Pair], settings: ExternalScorerRecipe, cache_dir: Path | None
) -> list[str]:
    """Of all pairs that have both texts."""
    facts = {
        "model": external_model_hash(settings, cache_dir),
        "kind": settings.kind,
        "max_tokens": settings.max_tokens,
    }
    return [
        ledger_key(pair_id, "external", instruction=pair.instruction, output=pair.output, **facts)
        for pair_id, pair in zip(pair_ids(pairs), pairs, strict=True)
        if _is_whole(pair)
    ]


def _answering(
    settings: ExternalScorerRecipe, cache_dir: Path | None, device: str | None, feed: Feed[Pair]
) -> Stream:
    with CrossEncoder(_fetched(settings, cache_dir), settings, device) as encoder:

        def answer(batch: list[Pair]) -> list[dict[str, float | bool]]:
            return [
                {"probability": probability, "cut": cut}
                for probability, cut in encoder.probabilities(batch)
            ]

        yield from in_batches(answer, feed)


def _device(raters: Raters) -> str | None:
    """The device that is leased for the rater, which is not asked and so has not started there."""
    rater = raters.forward
    slot = rater.devices if isinstance(rater, LazyGenerator) else None
    return slot.torch_device if slot is not None and slot.gpus else None


def external_model_hash(settings: ExternalScorerRecipe, cache_dir: Path | None = None) -> str:
    """Content hash of the model, which is fetched if need be. Raises BaseModelError."""
    from humpback_pipeline.models import content_hash, default_cache_dir

    return content_hash(_fetched(settings, cache_dir), cache_dir or default_cache_dir())


def _fetched(settings: ExternalScorerRecipe, cache_dir: Path | None) -> Path:
    from humpback_pipeline.models import default_cache_dir, fetch_directory

    return fetch_directory(settings.model, (cache_dir or default_cache_dir()).absolute(), False)


def _rating(answer: Answer) -> Rating:
    probability = answer["probability"]
    if math.isnan(probability):
        return Rating(LOWEST, "external", -math.inf, error=NO_NUMBER)
    return Rating(
        rating=1.0 + 4.0 * min(1.0, max(0.0, probability)),
        scorer="external",
        value=probability,
        signals={"external": probability},
        prompt_cut=answer["cut"],
    )
