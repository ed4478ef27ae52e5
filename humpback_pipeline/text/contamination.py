"""Benchmark contamination: segments that share a long run of words with evaluation data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from humpback_pipeline.web.stable_hash import Hashes, Indices
from humpback_pipeline.web.words import WordBatch

# A shorter text counts as a whole; with fewer words than these it would meet others by chance.
MIN_WHOLE_WORDS: Final = 8
_TEXTS_AT_ONCE: Final = 500


class ContaminationIndex:
    """All runs of `ngram_words` words in some texts, as sorted 64-bit hashes; 8 bytes a run.

    A text of MIN_WHOLE_WORDS or more words that is shorter than that counts as one run. Thirteen
    words are GPT-3's rule (Brown et al. 2020, appendix C). Hashes alone decide: of a billion
    segments of 250 words against 200,000 runs, 0.003 are expected to be taken for another.
    """

    def __init__(self, texts: Iterable[str], ngram_words: int = 13) -> None:
        """Raises ValueError for an `ngram_words` below 1."""
        if ngram_words < 1:
            raise ValueError(f"contamination: ngram_words {ngram_words} must be at least 1")
        self._size = ngram_words
        found: dict[int, list[Hashes]] = {}
        listed = list(texts)
        for first in range(0, len(listed), _TEXTS_AT_ONCE):
            self._add(WordBatch(listed[first : first + _TEXTS_AT_ONCE]), found)
        self._tables = {size: _HashTable(np.concatenate(parts)) for size, parts in found.items()}

    def __len__(self) -> int:
        """Number of different runs."""
        return sum(map(len, self._tables.values()))

    def matches(self, words: WordBatch) -> dict[int, str]:
        """Texts of the batch that hold a run: number of the text → the first words they share."""
        found: dict[int, str] = {}
        for size, table in sorted(self._tables.items(), reverse=True):
            grams = words.ngrams(size)
            hits = table.contains(grams.values)
            texts = np.searchsorted(grams.offsets, hits, side="right") - 1
            for text, hit in zip(texts.tolist(), hits.tolist(), strict=True):
                if text not in found:
                    found[text] = words.span(int(grams.starts[hit]), int(grams.ends[hit]))
        return found

    def _add(self, words: WordBatch, found: dict[int, list[Hashes]]) -> None:
        shorter = set(words.n_words[words.n_words < self._size].tolist())
        for size in (self._size, *(n for n in shorter if n >= MIN_WHOLE_WORDS)):
            grams = words.ngrams(size)
            wanted = np.ones(len(grams.values), dtype=bool)
            if size < self._size:  # only of the texts that are as short as that
                wanted = np.repeat(words.n_words == size, np.diff(grams.offsets))
            found.setdefault(size, []).append(grams.values[wanted])


class _HashTable:
    """A set of hashes; a table of bits on their first digits sends most strangers away at once."""

    def __init__(self, hashes: Hashes) -> None:
        self._hashes = np.unique(hashes)
        n_bits = min(28, max(16, (32 * len(self._hashes)).bit_length()))
        self._shift = np.uint64(64 - n_bits)
        self._begins: NDArray[np.bool_] = np.zeros(1 << n_bits, dtype=bool)
        self._begins[self._hashes >> self._shift] = True

    def __len__(self) -> int:
        return len(self._hashes)

    def contains(self, values: Hashes) -> Indices:
        """Places of the values that are in the set."""
        if not len(self._hashes):
            return np.empty(0, dtype=np.int64)
        maybe = np.flatnonzero(self._begins[values >> self._shift])
        places = np.searchsorted(self._hashes, values[maybe])
        places[places == len(self._hashes)] = 0
        return maybe[self._hashes[places] == values[maybe]]
