"""Scorers that read likelihoods instead of asking for a grade: even a small model can be used.

Each takes the percentile ranks of some signals among human pairs, makes one number of them, and
rates that by its own rank among human pairs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from humpback_pipeline.curation.records import LOWEST, Pair, Rating
from humpback_pipeline.curation.reference import Ranking, Reference, rating_of_rank
from humpback_pipeline.curation.scoring import Raters, Scoring
from humpback_pipeline.curation.signals import (
    COMPLETENESS,
    RELEVANCE_BACKWARD,
    RELEVANCE_FORWARD,
    SIGNALS,
    PairSignals,
    pair_signals,
)

EMPTY_PAIR = "empty instruction or output"
NO_NUMBER = "the model gave no number"  # such as of half-precision weights that overflow


def relevance_scorer(pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[Rating]:
    """Pointwise mutual information both ways: do instruction and output belong together?"""
    names = (RELEVANCE_FORWARD, RELEVANCE_BACKWARD)
    return _rate(pairs, raters, scoring, "relevance", names, _mean)


def completeness_scorer(pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[Rating]:
    """Does the model expect the text to end where it ends?"""
    return _rate(pairs, raters, scoring, "completeness", (COMPLETENESS,), min)


def weakest_link_scorer(pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[Rating]:
    """A pair is as good as its worst aspect: the lowest of the three percentile ranks."""
    return _rate(pairs, raters, scoring, "weakest_link", SIGNALS, min)


def combined_scorer(pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[Rating]:
    """Fisher's combination of the three ranks: several weak links count as well as a broken one.

    The sum of the logarithms of the percentile ranks, as of p-values (R. A. Fisher, Statistical
    Methods for Research Workers, 1925, section 21.1).
    """
    return _rate(pairs, raters, scoring, "combined", SIGNALS, _mean)


def _rate(
    pairs: Sequence[Pair],
    raters: Raters,
    scoring: Scoring,
    scorer: str,
    names: Sequence[str],
    combine: Callable[[list[float]], float],
) -> list[Rating]:
    if scoring.reference is None:
        raise ValueError(f"scorer {scorer!r} needs reference pairs to rank by")
    rate = rating_by_reference(scoring.reference, names, combine)
    ratings = []
    for pair, found in zip(pairs, pair_signals(pairs, raters, scoring), strict=True):
        signals = found.as_dict()
        value, rating = rate(signals)
        error = unrateable(pair, found)
        ratings.append(
            Rating(
                LOWEST if error else rating,
                scorer,
                value,
                signals=signals,
                prompt_cut=found.cut,
                error=error,
            )
        )
    return ratings


def unrateable(pair: Pair, signals: PairSignals) -> str | None:
    """Why likelihoods say nothing of a pair; None where they do."""
    if not pair.instruction.strip() or not pair.output.strip():
        return EMPTY_PAIR
    if signals.error:
        return signals.error
    return None if all(map(math.isfinite, signals.as_dict().values())) else NO_NUMBER


def rating_by_reference(
    reference: Reference, names: Sequence[str], combine: Callable[[list[float]], float]
) -> Callable[[Mapping[str, float]], tuple[float, float]]:
    """A function from a pair's signals to its value (ln of a rank) and its rating."""
    human = Ranking([combine(reference.log_ranks(row, names)) for row in reference.rows()])

    def rate(signals: Mapping[str, float]) -> tuple[float, float]:
        value = combine(reference.log_ranks(signals, names))
        return value, rating_of_rank(human.log_rank(value))

    return rate


def _mean(values: list[float]) -> float:
    return math.fsum(values) / len(values)
