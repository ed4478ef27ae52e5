"""The calibrated scorer: how likely a pair is a good one, by what labelled pairs have taught."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from humpback_pipeline.curation.calibration import EXPECTED
from humpback_pipeline.curation.expected import expected_scorer
from humpback_pipeline.curation.likelihood_scorers import unrateable
from humpback_pipeline.curation.records import LOWEST, Pair, Rating
from humpback_pipeline.curation.scoring import Raters, Scoring
from humpback_pipeline.curation.signals import pair_signals


def calibrated_scorer(pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[Rating]:
    """1 + 4 p, where p is the probability that the pair is good: 4 means three in four."""
    if scoring.calibration is None or scoring.reference is None:
        raise ValueError(
            "scorer 'calibrated' needs a calibration (fit_calibration) and the reference it was "
            "fitted with; or use a scorer without labels, such as 'combined'"
        )
    ratings = []
    for pair, (signals, cut, digits) in zip(pairs, _read(pairs, raters, scoring), strict=True):
        probability = scoring.calibration.probability(signals, scoring.reference)
        error = digits.error or unrateable(pair, signals)
        ratings.append(
            Rating(
                rating=LOWEST if error else 1.0 + 4.0 * probability,
                scorer="calibrated",
                value=probability,
                signals=signals,
                mass=digits.mass,
                prompt_cut=cut or digits.prompt_cut,
                error=error,
            )
        )
    return ratings


def calibration_signals(
    pairs: Sequence[Pair], raters: Raters, scoring: Scoring
) -> list[dict[str, float]]:
    """All features of each pair: likelihoods and the digits' expectation."""
    return [signals for signals, _, _ in _read(pairs, raters, scoring)]


def _read(
    pairs: Sequence[Pair], raters: Raters, scoring: Scoring
) -> Iterator[tuple[dict[str, float], bool, Rating]]:
    """Of each pair its features, whether it was cut for them, and the digits' rating."""
    likelihoods = pair_signals(pairs, raters, scoring)
    for found, digits in zip(likelihoods, expected_scorer(pairs, raters, scoring), strict=True):
        yield {**found.as_dict(), EXPECTED: digits.value}, found.cut, digits
