"""ROUGE-L between instructions, to tell a new one from what is in the pool already."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

# Words as rouge-score has them, which Self-Instruct uses without stemming, in any script.
_WORD: Final = re.compile(r"[^\W_]+")


class InstructionPool:
    """Instructions by their words. Two are alike by ROUGE-L's F-measure, 0-1.

    That is twice the longest common subsequence of their words over the sum of their lengths:
    rapidfuzz's normalised similarity by insertions and deletions.
    """

    def __init__(self, instructions: Iterable[str] = ()) -> None:
        self._words = [_words(instruction) for instruction in instructions]

    def __len__(self) -> int:
        return len(self._words)

    def add(self, instruction: str) -> None:
        """Take in an instruction."""
        self._words.append(_words(instruction))

    def holds_like(self, instruction: str, rouge_l: float) -> bool:
        """Whether one in the pool is at least so much alike."""
        from rapidfuzz.process import extractOne

        scorer = _scorer()
        words = _words(instruction)
        return extractOne(words, self._words, scorer=scorer, score_cutoff=rouge_l) is not None


def rouge_l(one: str, other: str) -> float:
    """ROUGE-L's F-measure of two texts, 0-1; words in lower case, without marks, not stemmed."""
    return float(_scorer()(_words(one), _words(other)))


def _scorer() -> Callable[..., float]:
    from rapidfuzz.distance import Indel

    return Indel.normalized_similarity


def _words(text: str) -> Sequence[str]:
    return _WORD.findall(text.lower())
