"""The words of many texts in flat arrays, and the hashes of their n-grams."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np
import polars as pl

from humpback_pipeline.text.stable_hash import Bytes, HashedBytes, Hashes, Indices

# Scripts written without spaces: each sign counts as a word, else a whole sentence would be one.
_SPACELESS: Final = r"[\p{Han}\p{Hiragana}\p{Katakana}]"
_NEWLINE: Final = 10
_SPACE: Final = 32
# ASCII letters in lower case, digits and _ as they are, the bytes of other scripts too; else space.
_ASCII: Final = bytes(
    byte if byte >= 128 or bytes([byte]).isalnum() or byte == ord("_") else _SPACE
    for byte in range(256)
).lower()


@dataclass(frozen=True, slots=True)
class NgramHashes:
    """Hashes of the n-grams of each text, one text after the other.

    values: 64-bit hashes. offsets: of length n_texts + 1; text i has values[offsets[i]:offsets[i +
    1]]. starts, ends: where each n-gram stands in the batch's bytes.
    """

    values: Hashes
    offsets: Indices
    starts: Indices
    ends: Indices


class WordBatch:
    """Some texts as lower-case words: runs of letters, digits and marks, nothing else."""

    def __init__(self, texts: Iterable[str | None]) -> None:
        lines = _lines(_as_series(texts))
        self.n_texts = len(lines)
        self._bytes = _single_spaced(lines)
        self.data: Bytes = np.frombuffer(self._bytes, dtype=np.uint8)
        breaks = np.flatnonzero((self.data == _SPACE) | (self.data == _NEWLINE))
        starts = np.concatenate([np.zeros(1, dtype=np.int64), breaks[:-1] + 1])[: len(breaks)]
        at_end = self.data[breaks] == _NEWLINE
        text_of_word = np.cumsum(at_end) - at_end
        is_word = breaks > starts  # a line may begin or end with a space, or be empty
        self._starts, self._ends = starts[is_word], breaks[is_word]
        self._text_of_word = text_of_word[is_word]
        self.n_words: Indices = np.bincount(self._text_of_word, minlength=self.n_texts)
        self._first_word = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.n_words)])

    def text_keys(self) -> Hashes:
        """128-bit digest (two 64-bit columns) of each text's words in order."""
        digests = b"".join(
            hashlib.blake2b(line.strip(b" "), digest_size=16).digest()
            for line in self._bytes.split(b"\n")[:-1]
        )
        return np.frombuffer(digests, dtype=np.uint64).reshape(-1, 2)

    def ngrams(self, n: int, *, short_whole: bool = False) -> NgramHashes:
        """All runs of `n` words; with `short_whole`, a shorter text counts as one run."""
        last = np.arange(len(self._starts)) + n - 1
        last_of_text = self._first_word[self._text_of_word + 1] - 1
        fits = last <= last_of_text
        counts = np.maximum(self.n_words - n + 1, 0)
        if short_whole:
            short = (self.n_words > 0) & (self.n_words < n)
            fits[self._first_word[:-1][short]] = True
            counts[short] = 1
            last = np.minimum(last, last_of_text)
        starts, ends = self._starts[fits], self._ends[last[fits]]
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
        return NgramHashes(self._hashed.spans(starts, ends), offsets, starts, ends)

    def span(self, start: int, end: int) -> str:
        """Words between two places in the batch's bytes, with single spaces."""
        return self._bytes[start:end].decode()

    def text(self, number: int) -> str:
        """All words of one text, with single spaces."""
        first, end = self._first_word[number], self._first_word[number + 1]
        return self.span(self._starts[first], self._ends[end - 1]) if end > first else ""

    @cached_property
    def _hashed(self) -> HashedBytes:
        return HashedBytes(self.data)


def _as_series(texts: Iterable[str | None]) -> pl.Series:
    if isinstance(texts, pl.Series):
        return texts.cast(pl.String)
    listed = list(texts)
    try:
        return pl.Series(listed, dtype=pl.String)
    except UnicodeEncodeError:  # half of a surrogate pair, which no UTF-8 can hold
        whole = [t and t.encode("utf-8", "replace").decode() for t in listed]
        return pl.Series(whole, dtype=pl.String)


def _lines(texts: pl.Series) -> list[str]:
    """Texts in which every character beyond ASCII belongs to a word, in lower case."""
    filled = texts.fill_null("")
    lines: list[str] = filled.to_list()
    other = (filled.str.len_bytes() != filled.str.len_chars()).arg_true()
    words = filled.gather(other).str.to_lowercase()
    if words.str.contains(_SPACELESS).any():
        words = words.str.replace_all(f"({_SPACELESS})", " $1 ")
    for number, line in zip(other, words.str.replace_all(r"\W+", " "), strict=True):
        lines[number] = line
    return lines


def _single_spaced(lines: list[str]) -> bytes:
    """One line a text, ended by a newline: words with single spaces between them."""
    encoded = [line.encode().translate(_ASCII) for line in lines]
    data = np.frombuffer(b"\n".join([*encoded, b""]), dtype=np.uint8)
    is_space = data == _SPACE
    stays = np.ones(len(data), dtype=bool)
    stays[1:] = ~(is_space[1:] & is_space[:-1])
    return data[stays].tobytes()
