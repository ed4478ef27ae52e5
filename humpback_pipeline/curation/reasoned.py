"""The paper's rating: a rationale first, then the score; but a score that can always be read.

The paper samples both in one text and searches the digit in it; a public reimplementation could not
parse half of its ratings so. Here the rationale is sampled and the score is then read off the five
digits' probabilities after it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import cast

from humpback_pipeline.chat import RATING_PREFIX
from humpback_pipeline.curation.expected import DIGITS, expected_rating
from humpback_pipeline.curation.records import LOWEST, DigitProbabilities, Pair, Rating, pair_ids
from humpback_pipeline.curation.scoring import Raters, Scoring
from humpback_pipeline.generation import (
    ChoiceProbabilities,
    Generation,
    GenerationRequest,
    choose_all,
    generate_all,
)
from humpback_pipeline.progress import one_line

# However a model writes it: "**Score:** 4", "## Final score: 4", "Rating: 4". Left in, that one
# sampled digit would decide the score that is read after it.
_SCORE = re.compile(
    r"^[ \t>#*_-]*(?:final |overall )?(?:score|rating)[*_ \t]*:|[*_#]*[ \t]*\bScore[*_]*:",
    re.IGNORECASE | re.MULTILINE,
)


def reasoned_scorer(pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[Rating]:
    """The mean over n samples of the expected digit after a sampled rationale.

    A sample that a server refused does not count; if it refused all, that is the pair's error.
    """
    n_samples = scoring.settings.reasoned.samples
    requests = [
        request for one in _requests(pairs, scoring) for request in _samples(one, n_samples)
    ]
    rationales = generate_all(
        requests,
        raters.forward,
        scoring.settings.reasoned.sampling,
        ledger=scoring.ledger_of("rationales"),
        chunk_size=scoring.chunk_size,
        stage="writing rationales",
        unit="rationales",
        on_progress=scoring.on_progress,
        describe=lambda _, answer: one_line(rationale_of(answer.text)),
    )
    scores = choose_all(
        [
            GenerationRequest(
                request.request_id,
                request.messages,
                f"{rationale_of(rationale.text)}\n{RATING_PREFIX}",
                request.cuttable,
            )
            for request, rationale in zip(requests, rationales, strict=True)
        ],
        raters.forward,
        DIGITS,
        ledger=scoring.ledger_of("reasoned"),
        chunk_size=scoring.chunk_size,
        stage="scoring",
        unit="rationales",
        on_progress=scoring.on_progress,
    )
    return [
        _rating(
            rationales[start : start + n_samples],
            scores[start : start + n_samples],
        )
        for start in range(0, len(requests), n_samples)
    ]


def rationale_of(text: str) -> str:
    """What was written before the model gave a score of its own accord."""
    return _SCORE.split(text, maxsplit=1)[0].strip()


def _requests(pairs: Sequence[Pair], scoring: Scoring) -> list[GenerationRequest]:
    return [
        GenerationRequest(
            pair_id,
            scoring.prompts.rating_messages(pair.instruction, pair.output),
            cuttable=(pair.instruction, pair.output),
        )
        for pair_id, pair in zip(pair_ids(pairs), pairs, strict=True)
    ]


def _samples(request: GenerationRequest, n: int) -> list[GenerationRequest]:
    if n == 1:
        return [request]
    return [
        GenerationRequest(
            f"{request.request_id}#{sample}", request.messages, cuttable=request.cuttable
        )
        for sample in range(n)
    ]


def _rating(rationales: Sequence[Generation], scores: Sequence[ChoiceProbabilities]) -> Rating:
    asked = [*zip(rationales, scores, strict=True)]
    answered = [both for both in asked if not any(one.error for one in both)] or asked
    rationales, scores = zip(*answered, strict=True)
    n = len(scores)
    columns = zip(*(score.probabilities for score in scores), strict=True)
    probabilities = tuple(math.fsum(column) / n for column in columns)
    value = expected_rating(probabilities)
    counted: list[Generation | ChoiceProbabilities] = [*rationales, *scores]
    error = next((one.error for one in counted if one.error), None)
    return Rating(
        rating=LOWEST if error else value,
        scorer="reasoned",
        value=value,
        probabilities=cast("DigitProbabilities", probabilities),
        rationale=rationale_of(rationales[0].text),
        signals={"reasoned": value},
        mass=math.fsum(score.mass for score in scores) / n,
        prompt_cut=any(one.prompt_cut for one in counted),
        error=error,
    )
