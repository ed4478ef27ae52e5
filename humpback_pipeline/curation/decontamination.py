"""Decontamination: pairs that share a long run of words with text kept for evaluation."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"\w+")


def words_of(text: str) -> list[str]:
    """Lower-case words, without punctuation or layout."""
    return _WORD.findall(text.lower())


class ContaminationIndex:
    """All runs of `ngram_words` words in the texts given; 13 as for GPT-3 (Brown et al., 2020).

    A text shorter than that counts as one run; below `MIN_WORDS` words it must be the whole of the
    other text, since so few words meet by chance.
    """

    MIN_WORDS = 8

    def __init__(self, texts: Iterable[str], ngram_words: int = 13) -> None:
        self._size = ngram_words
        self._runs: dict[int, set[tuple[str, ...]]] = {}
        self._short: set[tuple[str, ...]] = set()
        for text in texts:
            words = words_of(text)
            size = min(ngram_words, len(words))
            if size >= min(self.MIN_WORDS, ngram_words):
                self._runs.setdefault(size, set()).update(_runs(words, size))
            elif words:
                self._short.add(tuple(words))

    def matches(self, text: str) -> bool:
        """Whether `text` holds one of the runs."""
        words = words_of(text)
        return tuple(words) in self._short or any(
            run in known for size, known in self._runs.items() for run in _runs(words, size)
        )


def _runs(words: list[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(words[start : start + size]) for start in range(len(words) - size + 1))
