"""Near-duplicate instructions: found by MinHash, decided by their exact Jaccard similarity."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray
from rensa import RMinHash

from humpback_pipeline.text.stable_hash import Bytes, Hashes, Indices, mix
from humpback_pipeline.text.words import WordBatch

# Two instructions of three words that share two ask for different things: "Define a tide."
MIN_WORDS: Final = 4
# Bands of four slots: of pairs of similarity 0.7 they find 99.9 %, of 0.5 79 %.
_BANDS: Final = 24
_BAND_SLOTS: Final = 4
_SEED: Final = 42
_TEXTS_AT_ONCE: Final = 5_000
_SLOTS: Final = _BANDS * _BAND_SLOTS
# A bucket with more kept texts than this is one of a common phrase, not of a near duplicate: the
# latest are compared, so that a million texts of one pattern do not cost their square.
_COMPARED_PER_BUCKET: Final = 16
# Fewer candidates than this are compared word by word at once.
_FEW: Final = 4


def earlier_near_duplicate(texts: pl.Series, threshold: float, n_protected: int = 0) -> Indices:
    """For each text the place of an earlier one that stands for it, -1 where it is kept itself.

    texts: best first. A text goes if its words, as a set, have a Jaccard similarity of at least
        `threshold` with those of an earlier text that is kept; texts of fewer than MIN_WORDS
        different words go only if an earlier text is equal (case and punctuation apart).
    n_protected: so many texts at the start are kept whatever they are like.

    Memory: about 250 bytes a text besides 8 a word. Raises ValueError for a threshold outside
    (0, 1].
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"near duplicates: threshold {threshold} must lie in (0, 1]")
    words = _WordSets.of(texts)
    stands_for = _equal_before(words.text_keys)
    stands_for[:n_protected] = -1
    compared = np.flatnonzero((stands_for < 0) & (np.diff(words.offsets) >= MIN_WORDS))
    kept: dict[int, list[int]] = {}
    for place, buckets in _shared_buckets(words.band_keys, compared):
        near = -1
        if place >= n_protected:
            near = _first_near(place, buckets, kept, words, threshold)
        if near < 0:
            for bucket in buckets:
                kept.setdefault(bucket, []).append(place)
        stands_for[place] = near
    # Equal to one that is itself dropped: the one that stands for both is kept.
    dropped = np.flatnonzero(stands_for >= 0)
    above = stands_for[stands_for[dropped]]
    stands_for[dropped] = np.where(above >= 0, above, stands_for[dropped])
    return stands_for


def _first_near(
    place: int,
    buckets: list[int],
    kept: dict[int, list[int]],
    words: _WordSets,
    threshold: float,
) -> int:
    """The best of the kept texts in these buckets that is near enough, -1 without any."""
    candidates: list[int] = []
    for bucket in buckets:
        if bucket in kept:
            candidates += kept[bucket][-_COMPARED_PER_BUCKET:]
    if len(candidates) > _FEW:
        candidates = words.probably_near(place, candidates, threshold)
    if not candidates:
        return -1
    mine = words.of_text(place)
    for candidate in sorted(set(candidates)):
        others = words.of_text(candidate)
        n_shared = len(mine & others)
        if n_shared >= threshold * (len(mine) + len(others) - n_shared):
            return candidate
    return -1


@dataclass(frozen=True)
class _WordSets:
    """The different words of each text as hashes, a digest of the whole text, and its MinHash.

    Text i has values[offsets[i]:offsets[i + 1]]. text_keys: shape (n, 2). signatures: one byte a
    slot, (n, _SLOTS). band_keys: (n, _BANDS).
    """

    values: Hashes
    offsets: Indices
    text_keys: Hashes
    signatures: Bytes
    band_keys: NDArray[np.uint32]

    @classmethod
    def of(cls, texts: pl.Series) -> _WordSets:
        """Take the texts apart, some thousand at a time."""
        values, counts = [np.empty(0, np.uint64)], [np.zeros(1, np.int64)]
        text_keys = [np.empty((0, 2), np.uint64)]
        signatures = [np.empty((0, _SLOTS), np.uint8)]
        band_keys = [np.empty((0, _BANDS), np.uint32)]
        for first in range(0, len(texts), _TEXTS_AT_ONCE):
            batch = WordBatch(texts.slice(first, _TEXTS_AT_ONCE))
            some, n_words = _different_words(batch)
            values.append(some)
            counts.append(n_words)
            text_keys.append(batch.text_keys())
            slots = _minhash(some, n_words)
            # The top byte of a product depends on all of a slot's bits, whatever is lowest.
            mixed = slots.astype(np.uint32) * np.uint32(0x9E3779B1)
            signatures.append((mixed >> np.uint32(24)).astype(np.uint8))
            band_keys.append(_band_keys(slots))
        return cls(
            np.concatenate(values),
            np.cumsum(np.concatenate(counts)),
            np.concatenate(text_keys),
            np.concatenate(signatures),
            np.concatenate(band_keys),
        )

    def of_text(self, place: int) -> set[int]:
        """The words of one text."""
        return set(self.values[self.offsets[place] : self.offsets[place + 1]].tolist())

    def probably_near(self, place: int, others: list[int], threshold: float) -> list[int]:
        """Those of the others whose estimated similarity is not far below the threshold."""
        # Three standard deviations: one in a thousand that is near enough goes unseen.
        margin = 3 * math.sqrt(threshold * (1 - threshold) / _SLOTS)
        agreeing = (self.signatures[others] == self.signatures[place]).sum(axis=1)
        near = np.flatnonzero(agreeing >= (threshold - margin) * _SLOTS)
        return [others[number] for number in near]


def _different_words(batch: WordBatch) -> tuple[Hashes, Indices]:
    grams = batch.ngrams(1)
    text = np.repeat(np.arange(batch.n_texts), np.diff(grams.offsets))
    order = np.lexsort((grams.values, text))
    values, text = grams.values[order], text[order]
    is_new = np.ones(len(values), dtype=bool)
    is_new[1:] = (values[1:] != values[:-1]) | (text[1:] != text[:-1])
    return values[is_new], np.bincount(text[is_new], minlength=batch.n_texts)


def _minhash(values: Hashes, n_words: Indices) -> NDArray[np.uint64]:
    offsets = np.concatenate([np.zeros(1, np.uint64), np.cumsum(n_words).astype(np.uint64)])
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(values, offsets, _SLOTS, _SEED)
    return np.array(matrix.to_rows(), dtype=np.uint64).reshape(-1, _SLOTS)


def _band_keys(slots: NDArray[np.uint64]) -> NDArray[np.uint32]:
    bands = slots.reshape(-1, _BANDS, _BAND_SLOTS)
    keys = np.zeros(bands.shape[:2], dtype=np.uint64)
    for slot in range(_BAND_SLOTS):
        keys = mix(keys ^ bands[:, :, slot])
    return (keys >> np.uint64(32)).astype(np.uint32)


def _equal_before(text_keys: Hashes) -> Indices:
    """For each text the place of the first that is equal, -1 where that is itself."""
    order = np.lexsort((text_keys[:, 1], text_keys[:, 0]))  # stable: the first leads its equals
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (text_keys[order[1:]] != text_keys[order[:-1]]).any(axis=1)
    leaders = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
    before = np.full(len(order), -1, dtype=np.int64)
    before[order] = np.where(is_first, -1, leaders)
    return before


def _shared_buckets(
    band_keys: NDArray[np.uint32], places: Indices
) -> Iterator[tuple[int, list[int]]]:
    """The places that share a band with another, in their order, each with its buckets' numbers."""
    owners, buckets, n_buckets = [], [], 0
    for band in range(_BANDS):
        keys = band_keys[places, band]
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        is_first = np.ones(len(ordered), dtype=bool)
        is_first[1:] = ordered[1:] != ordered[:-1]
        number = np.cumsum(is_first) - 1
        shared = np.bincount(number, minlength=1)[number] > 1
        owners.append(places[order[shared]])
        buckets.append(number[shared] + n_buckets)
        n_buckets += len(ordered)
    owner, bucket = np.concatenate(owners), np.concatenate(buckets)
    order = np.argsort(owner, kind="stable")
    owner, bucket = owner[order], bucket[order]
    is_first = np.ones(len(owner), dtype=bool)
    is_first[1:] = owner[1:] != owner[:-1]
    starts = np.append(np.flatnonzero(is_first), len(owner)).tolist()
    for start, end in pairwise(starts):
        yield int(owner[start]), bucket[start:end].tolist()
