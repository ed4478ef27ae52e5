"""Scorers: ways to get a rating out of a model. One is chosen by name in the recipe."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol, cast

from humpback_pipeline.chat import RATING_PREFIX, Prompts
from humpback_pipeline.curation.records import RATINGS, Pair, Rating
from humpback_pipeline.generation import GenerationRequest, Ledger, TextGenerator, choose_all
from humpback_pipeline.progress import OnProgress, one_line

DIGITS = ("1", "2", "3", "4", "5")


class Scorer(Protocol):
    """Rates pairs, in their order, each with a number in [1, 5]."""

    def __call__(
        self,
        pairs: Sequence[Pair],
        generator: TextGenerator,
        prompts: Prompts,
        *,
        ledger: Ledger | None,
        chunk_size: int,
        on_progress: OnProgress,
    ) -> list[Rating]:
        """Rate `pairs` with the model behind `generator`."""
        ...


def expected_scorer(
    pairs: Sequence[Pair],
    generator: TextGenerator,
    prompts: Prompts,
    *,
    ledger: Ledger | None,
    chunk_size: int,
    on_progress: OnProgress,
) -> list[Rating]:
    """The expected rating: the five digits' probabilities after `Score: `, weighted by the digit.

    The paper samples a rating and its reasoning; the expectation of the next token needs one step,
    can always be read, and is a real number, as the threshold of 4.5 asks for.
    """
    requests = [
        GenerationRequest(
            pair.pair_id if pair.pair_id is not None else str(position),
            prompts.rating_messages(pair.instruction, pair.output),
            RATING_PREFIX,
            cuttable=(pair.instruction, pair.output),
        )
        for position, pair in enumerate(pairs)
    ]
    answers = choose_all(
        requests,
        generator,
        DIGITS,
        ledger=ledger,
        chunk_size=chunk_size,
        stage="rating",
        unit="pairs",
        on_progress=on_progress,
        describe=lambda request, answer: (
            f"{expected_rating(answer.probabilities):.2f} for {one_line(request.cuttable[0])}"
        ),
    )
    return [
        Rating(
            rating=expected_rating(answer.probabilities),
            probabilities=cast("tuple[float, float, float, float, float]", answer.probabilities),
            rationale=None,
            scorer="expected",
            mass=answer.mass,
            prompt_cut=answer.prompt_cut,
        )
        for answer in answers
    ]


def expected_rating(probabilities: Sequence[float]) -> float:
    """Mean of the ratings 1-5 under `probabilities`; rounding cannot carry it out of [1, 5]."""
    weighted = math.fsum(p * r for p, r in zip(probabilities, RATINGS, strict=True))
    return min(RATINGS[-1], max(RATINGS[0], weighted))


SCORERS: dict[str, Scorer] = {"expected": expected_scorer}


def find_scorer(name: str) -> Scorer:
    """The scorer of that name. Raises ValueError that lists them."""
    if name not in SCORERS:
        raise ValueError(f"unknown scorer {name!r}; there is: {', '.join(sorted(SCORERS))}")
    return SCORERS[name]
