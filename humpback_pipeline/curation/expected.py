"""The expected rating: the five digits' probabilities after `Score: `, weighted by the digit."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

from humpback_pipeline.chat import RATING_PREFIX
from humpback_pipeline.curation.records import (
    HIGHEST,
    LOWEST,
    RATINGS,
    DigitProbabilities,
    Pair,
    Rating,
    pair_ids,
)
from humpback_pipeline.curation.scoring import Raters, Scoring
from humpback_pipeline.generation import GenerationRequest, choose_all
from humpback_pipeline.progress import one_line

DIGITS = ("1", "2", "3", "4", "5")


def expected_scorer(pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[Rating]:
    """The probability-weighted mean over the five digits.

    The paper samples a rating and its reasoning; the expectation of the next token needs one step,
    can always be read, and is a real number, as the threshold of 4.5 asks for.
    """
    requests = [
        GenerationRequest(
            pair_id,
            scoring.prompts.rating_messages(pair.instruction, pair.output),
            RATING_PREFIX,
            cuttable=(pair.instruction, pair.output),
        )
        for pair_id, pair in zip(pair_ids(pairs), pairs, strict=True)
    ]
    answers = choose_all(
        requests,
        raters.forward,
        DIGITS,
        ledger=scoring.ledger_of("expected"),
        chunk_size=scoring.chunk_size,
        stage="rating",
        unit="pairs",
        on_progress=scoring.on_progress,
        describe=lambda request, answer: (
            f"{expected_rating(answer.probabilities):.2f} for {one_line(request.cuttable[0])}"
        ),
    )
    return [
        Rating(
            rating=LOWEST if answer.error else expected_rating(answer.probabilities),
            scorer="expected",
            value=expected_rating(answer.probabilities),
            probabilities=cast("DigitProbabilities", answer.probabilities),
            signals={"expected": expected_rating(answer.probabilities)},
            mass=answer.mass,
            prompt_cut=answer.prompt_cut,
            error=answer.error,
        )
        for answer in answers
    ]


def expected_rating(probabilities: Sequence[float]) -> float:
    """Mean of the ratings 1-5 under `probabilities`; rounding cannot carry it out of [1, 5]."""
    weighted = math.fsum(p * r for p, r in zip(probabilities, RATINGS, strict=True))
    return min(HIGHEST, max(LOWEST, weighted))
