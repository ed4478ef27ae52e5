"""Contamination: texts that share a long run of words with data kept for evaluation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, overload

import numpy as np
from numpy.typing import NDArray

from humpback_pipeline.text.stable_hash import Hashes, Indices
from humpback_pipeline.text.words import WordBatch

# A shorter text counts as a whole; with fewer words than these it would meet others by chance.
MIN_WHOLE_WORDS: Final = 8
_TEXTS_AT_ONCE: Final = 500
# Seen by nobody: soft hyphens, zero-width spaces and joiners, marks of direction and byte order.
_INVISIBLE: Final = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")


def plain_text(text: str) -> str:
    """The text without what a copy may differ in and a reader would not see or mind.

    Compatibility forms are composed (Unicode's NFKC: é of two signs, ﬁ, full-width letters),
    invisible signs dropped, and underscores, which are Markdown's emphasis, become spaces.
    """
    if not text.isascii():
        text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return text.replace("_", " ")


class ContaminationIndex:
    """All runs of `ngram_words` words in some texts, as sorted 64-bit hashes; 8 bytes a run.

    A text of MIN_WHOLE_WORDS or more words that is shorter than that counts as one run; one of
    fewer words must be the whole of the other text. Texts are compared as `plain_text`, but for
    those that come as a `WordBatch`, which are taken as they are. Thirteen words are GPT-3's rule
    (Brown et al. 2020, appendix C). Hashes alone decide: of a billion segments of 250 words against
    200,000 runs, 0.003 are expected to be taken for another.
    """

    def __init__(self, texts: Iterable[str], ngram_words: int = 13) -> None:
        """Raises ValueError for an `ngram_words` below 1."""
        if ngram_words < 1:
            raise ValueError(f"contamination: ngram_words {ngram_words} must be at least 1")
        self._size = ngram_words
        self._wholes: set[str] = set()
        found: dict[int, list[Hashes]] = {}
        for words in _batches(form for text in texts for form in {text, plain_text(text)}):
            self._add(words, found)
        self._tables = {size: _HashTable(np.concatenate(parts)) for size, parts in found.items()}

    def __len__(self) -> int:
        """Number of different runs; texts that are too short to be one do not count."""
        return sum(map(len, self._tables.values()))

    @overload
    def matches(self, texts: str) -> bool: ...

    @overload
    def matches(self, texts: WordBatch) -> dict[int, str]: ...

    def matches(self, texts: str | WordBatch) -> bool | dict[int, str]:
        """Whether a text holds a run; of a batch, number of each that does → the words they share.

        One text costs nearly as much as a hundred at once: `contaminated` for many.
        """
        if isinstance(texts, str):
            return bool(self._found(WordBatch([plain_text(texts)])))
        return self._found(texts)

    def contaminated(self, texts: Iterable[str]) -> list[bool]:
        """Whether each of the texts holds a run."""
        flags: list[bool] = []
        for words in _batches(map(plain_text, texts)):
            found = self._found(words)
            flags += [number in found for number in range(words.n_texts)]
        return flags

    def _found(self, words: WordBatch) -> dict[int, str]:
        found: dict[int, str] = {}
        for size, table in sorted(self._tables.items(), reverse=True):
            grams = words.ngrams(size)
            hits = table.contains(grams.values)
            texts = np.searchsorted(grams.offsets, hits, side="right") - 1
            for text, hit in zip(texts.tolist(), hits.tolist(), strict=True):
                if text not in found:
                    found[text] = words.span(int(grams.starts[hit]), int(grams.ends[hit]))
        for text, whole in self._short(words):
            if whole in self._wholes:
                found[text] = whole
        return found

    def _add(self, words: WordBatch, found: dict[int, list[Hashes]]) -> None:
        self._wholes.update(whole for _, whole in self._short(words))
        shorter = set(words.n_words[words.n_words < self._size].tolist())
        for size in (self._size, *(n for n in shorter if n >= MIN_WHOLE_WORDS)):
            grams = words.ngrams(size)
            wanted = np.ones(len(grams.values), dtype=bool)
            if size < self._size:  # only of the texts that are as short as that
                wanted = np.repeat(words.n_words == size, np.diff(grams.offsets))
            found.setdefault(size, []).append(grams.values[wanted])

    def _short(self, words: WordBatch) -> Iterator[tuple[int, str]]:
        """Number and words of the texts that are too short for a run."""
        is_short = (words.n_words > 0) & (words.n_words < min(MIN_WHOLE_WORDS, self._size))
        return ((text, words.text(text)) for text in np.flatnonzero(is_short).tolist())


def _batches(texts: Iterable[str]) -> Iterator[WordBatch]:
    rest = iter(texts)
    while some := list(islice(rest, _TEXTS_AT_ONCE)):
        yield WordBatch(some)


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
