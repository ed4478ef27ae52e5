"""Pairs that share a text, such as a good pair and the flawed ones made of it.

A fit that has seen one has seen something of the other, so no fold may part them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from humpback_pipeline.curation.records import Pair
from humpback_pipeline.text.words import WordBatch

# As many words do not begin two texts by chance; a cut text keeps its beginning.
OPENING_WORDS = 12


class TooFewTextsError(ValueError):
    """So many pairs share a text that no fold is left to fit on."""


@dataclass(frozen=True)
class SharedTexts:
    """For each pair a number of its instruction and one of its output's first `OPENING_WORDS`.

    Numbers are equal where the words are, case, punctuation and layout apart.
    """

    instructions: np.ndarray
    openings: np.ndarray

    @classmethod
    def of(cls, pairs: Sequence[Pair]) -> SharedTexts:
        """Of these pairs."""
        instructions = WordBatch([pair.instruction for pair in pairs])
        outputs = WordBatch([pair.output for pair in pairs])
        places = range(len(pairs))
        return cls(
            _numbers([instructions.text(i) for i in places]),
            _numbers([" ".join(outputs.text(i).split()[:OPENING_WORDS]) for i in places]),
        )

    @classmethod
    def none(cls, n: int) -> SharedTexts:
        """Of `n` pairs that have nothing in common."""
        return cls(np.arange(n), np.arange(n))

    def folds(self, good: np.ndarray, n_folds: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Places to fit on and places to rate, `n_folds` times; every place is rated once.

        Pairs of one instruction are in one fold, and none is fitted on whose output begins like one
        that is rated. Whole groups of pairs joined by any text would be simpler; but mismatched
        outputs chain pair to pair, and one such group can hold most of a set.

        Raises TooFewTextsError where nothing is left to fit on.
        """
        from sklearn.model_selection import StratifiedGroupKFold

        n_groups = len(np.unique(self.instructions))
        if n_groups < n_folds:
            raise TooFewTextsError(f"the pairs have only {n_groups} different instructions")
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=0)
        for train, test in splitter.split(good, good, self.instructions):
            apart = train[~np.isin(self.openings[train], self.openings[test])]
            if len(np.unique(good[apart])) < 2:
                raise TooFewTextsError("too many of the pairs share instruction or output")
            yield apart, test


def _numbers(texts: Sequence[str]) -> np.ndarray:
    """Equal numbers for equal texts; what has no word equals nothing."""
    known: dict[str, int] = {}
    numbers = [known.setdefault(text or f"\n{i}", len(known)) for i, text in enumerate(texts)]
    return np.asarray(numbers, dtype=np.int64)
