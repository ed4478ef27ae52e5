"""The calibrated scorer: how likely a pair is a good one, by what labelled pairs have taught."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from humpback_pipeline.curation.calibration import EXPECTED, rating_of_probability
from humpback_pipeline.curation.expected import expected_scorer
from humpback_pipeline.curation.likelihood_scorers import unrateable
from humpback_pipeline.curation.records import LOWEST, Pair, Rating
from humpback_pipeline.curation.scoring import Raters, Scoring
from humpback_pipeline.curation.signals import PairSignals, pair_signals


def calibrated_scorer(pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[Rating]:
    """1 + 4 p, where p is the probability that the pair is good: 4 means three in four."""
    if scoring.calibration is None or scoring.reference is None:
        raise ValueError(
            "scorer 'calibrated' needs a calibration (fit_calibration) and the reference it was "
            "fitted with; or use a scorer without labels, such as 'combined'"
        )
    ratings = []
    for pair, (found, digits) in zip(pairs, _read(pairs, raters, scoring), strict=True):
        features = _features(found, digits)
        error = digits.error or unrateable(pair, found)
        if error is None:
            value = scoring.calibration.probability(features, scoring.reference)
            rating = rating_of_probability(value)
        else:
            value, rating = -math.inf, LOWEST
        ratings.append(
            Rating(
                rating=rating,
                scorer="calibrated",
                value=value,
                signals=features,
                mass=digits.mass,
                prompt_cut=found.cut or digits.prompt_cut,
                error=error,
            )
        )
    return ratings


def calibration_signals(
    pairs: Sequence[Pair], raters: Raters, scoring: Scoring
) -> list[dict[str, float]]:
    """All features of each pair: likelihoods and the digits' expectation.

    What could not be read is no number.
    """
    return [_features(found, digits) for found, digits in _read(pairs, raters, scoring)]


def _read(
    pairs: Sequence[Pair], raters: Raters, scoring: Scoring
) -> Iterator[tuple[PairSignals, Rating]]:
    """Of each pair what its likelihoods say, and what the digits."""
    likelihoods = pair_signals(pairs, raters, scoring)
    yield from zip(likelihoods, expected_scorer(pairs, raters, scoring), strict=True)


def _features(found: PairSignals, digits: Rating) -> dict[str, float]:
    return {**found.as_dict(), EXPECTED: math.nan if digits.error else digits.value}
