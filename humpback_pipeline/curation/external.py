"""Ratings by a cross-encoder made elsewhere: an NLI, relevance or reward model, by name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from humpback_pipeline.curation.cross_encoder import CrossEncoder
from humpback_pipeline.curation.likelihood_scorers import EMPTY_PAIR, NO_NUMBER
from humpback_pipeline.curation.records import LOWEST, Pair, Rating, pair_ids
from humpback_pipeline.curation.scoring import Raters, Scoring
from humpback_pipeline.generation import Feed, Stream, answer_with_ledger, in_batches, ledger_key
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
    folder = _fetched(settings)
    facts = {
        "model": external_model_hash(settings),
        "kind": settings.kind,
        "max_tokens": settings.max_tokens,
    }
    asked = [
        (pair_id, pair)
        for pair_id, pair in zip(pair_ids(pairs), pairs, strict=True)
        if pair.instruction.strip() and pair.output.strip()
    ]
    keys = [
        ledger_key(pair_id, "external", instruction=pair.instruction, output=pair.output, **facts)
        for pair_id, pair in asked
    ]

    def answering(feed: Feed[Pair]) -> Stream:
        with CrossEncoder(folder, settings) as encoder:

            def answer(batch: list[Pair]) -> list[dict[str, float | bool]]:
                return [
                    {"probability": probability, "cut": cut}
                    for probability, cut in encoder.probabilities(batch)
                ]

            yield from in_batches(answer, feed)

    answers = answer_with_ledger(
        [pair for _, pair in asked],
        keys,
        answering,
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
        if pair.instruction.strip() and pair.output.strip()
        else Rating(LOWEST, "external", -math.inf, error=EMPTY_PAIR)
        for pair in pairs
    ]


def external_model_hash(settings: ExternalScorerRecipe) -> str:
    """Content hash of the model, which is fetched if need be. Raises BaseModelError."""
    from humpback_pipeline.models import content_hash, default_cache_dir

    return content_hash(_fetched(settings), default_cache_dir())


def _fetched(settings: ExternalScorerRecipe) -> Path:
    from humpback_pipeline.models import default_cache_dir, fetch_directory

    return fetch_directory(settings.model, default_cache_dir().absolute(), False)


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
