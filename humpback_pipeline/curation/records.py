"""The records of the curation room: a pair to rate, and its rating."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

RATINGS = (1.0, 2.0, 3.0, 4.0, 5.0)
LOWEST, HIGHEST = RATINGS[0], RATINGS[-1]

DigitProbabilities = tuple[float, float, float, float, float]


@dataclass(frozen=True, slots=True)
class Pair:
    """An (instruction, output) pair; `pair_id` names it in the ledger, else its position does."""

    instruction: str
    output: str
    pair_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rating:
    """How good a pair is on the paper's five-point scale (section 2.3), as a real number.

    rating: in [1, 5]. value: the scorer's own number before it was mapped onto that scale.
    probabilities: of the five ratings, summing to 1, where the scorer reads them. rationale: the
    rater's words, where the scorer asks for any. signals: what the rating was made of, by name.
    mass: probability that the rater gave to a digit at all; near 0, it does not follow the rubric.
    prompt_cut: the pair had to be cut to fit the window. error: why the rater could not be asked;
    the pair then has the lowest rating.
    """

    rating: float
    scorer: str
    value: float
    probabilities: DigitProbabilities | None = None
    rationale: str | None = None
    signals: Mapping[str, float] = field(default_factory=dict)
    mass: float | None = None
    prompt_cut: bool = False
    error: str | None = None


def pair_ids(pairs: Sequence[Pair]) -> list[str]:
    """Name of each pair in the ledger."""
    return [
        pair.pair_id if pair.pair_id is not None else str(position)
        for position, pair in enumerate(pairs)
    ]
