"""The records of the curation room: a pair to rate, and its rating."""

from __future__ import annotations

from dataclasses import dataclass

RATINGS = (1.0, 2.0, 3.0, 4.0, 5.0)


@dataclass(frozen=True, slots=True)
class Pair:
    """An (instruction, output) pair; `pair_id` names it in the ledger, else its position does."""

    instruction: str
    output: str
    pair_id: str | None = None


@dataclass(frozen=True, slots=True)
class Rating:
    """How good a pair is on the paper's five-point scale (section 2.3), as a real number.

    rating: in [1, 5]. probabilities: of the five ratings, summing to 1. rationale: the rater's
    words, where the scorer asks for any. mass: probability that the rater gave to a digit at all;
    near 0, it does not follow the rubric. prompt_cut: the pair had to be cut to fit the window.
    """

    rating: float
    probabilities: tuple[float, float, float, float, float]
    rationale: str | None
    scorer: str
    mass: float = 1.0
    prompt_cut: bool = False
