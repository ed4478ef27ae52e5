"""MinHash signatures of one byte a slot, in a file: 128 bytes a text, nothing else in memory.

Signatures come from rensa (fast similarity sketching, Dahlgaard et al. 2017). Of each slot one
byte is kept (b-bit minwise hashing, Li and König 2010): two texts of Jaccard similarity J agree in
a slot with probability J + (1 - J) / 256, which the estimate takes into account.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

from humpback_pipeline.text.stable_hash import Bytes, Hashes, Indices
from humpback_pipeline.text.words import WordBatch

SIGNATURE_BYTES: Final = 128
_SEED: Final = 42
_CHANCE: Final = 1 / 256
_PAIRS_AT_ONCE: Final = 1 << 15
_ROWS_AT_ONCE: Final = 1 << 18


def signatures_of(words: WordBatch, ngram: int) -> Bytes:
    """Signatures of a batch's texts over their word n-grams; shape (n_texts, SIGNATURE_BYTES)."""
    grams = words.ngrams(ngram, short_whole=True)
    if not words.n_texts:
        return np.empty((0, SIGNATURE_BYTES), dtype=np.uint8)
    matrix = RMinHash.digest_matrix_from_flat_token_hashes(
        grams.values, grams.offsets.astype(np.uint64), SIGNATURE_BYTES, _SEED
    )
    slots = np.array(matrix.to_rows(), dtype=np.uint32)
    # The top byte of a product depends on all of a slot's bits, whatever its minimum favours.
    return ((slots * np.uint32(0x9E3779B1)) >> np.uint32(24)).astype(np.uint8)


def slots_needed(threshold: float) -> int:
    """How many slots must agree for an estimated similarity of at least `threshold`."""
    share = _CHANCE + threshold * (1 - _CHANCE)
    return math.ceil(SIGNATURE_BYTES * share - 1e-9)


class SignatureFile:
    """Signatures of texts in the order added: appended to a file, then read by memory map.

    The operating system may drop the map's pages at any time, so they count for no memory that
    must be there. The caller removes the file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO = path.open("wb")
        self._rows: NDArray[np.uint8] | None = None
        self.n_rows = 0

    def append(self, signatures: Bytes) -> None:
        """Add rows at the end."""
        self._file.write(signatures.tobytes())
        self.n_rows += len(signatures)
        self._rows = None

    def close(self) -> None:
        """Let go of the file."""
        self._rows = None
        self._file.close()

    def bands(self, band: int, slots: int, rows: Indices) -> Hashes:
        """Band `band` of the signatures of `rows`: its `slots` bytes, 4 or 8, as one number."""
        column = self._map().view(np.dtype(f"u{slots}"))[:, band]
        keys = np.empty(len(rows), dtype=np.uint64)
        for first in range(0, len(rows), _ROWS_AT_ONCE):
            some = rows[first : first + _ROWS_AT_ONCE]
            keys[first : first + len(some)] = column[some]
        return keys

    def agreeing(self, left: Indices, right: Indices) -> Indices:
        """Number of slots in which each pair of rows agrees."""
        signatures = self._map()
        found = np.empty(len(left), dtype=np.int64)
        for first in range(0, len(left), _PAIRS_AT_ONCE):
            part = slice(first, first + _PAIRS_AT_ONCE)
            found[part] = (signatures[left[part]] == signatures[right[part]]).sum(axis=1)
        return found

    def _map(self) -> NDArray[np.uint8]:
        if self._rows is None:
            self._file.flush()
            shape = (self.n_rows, SIGNATURE_BYTES)
            self._rows = np.memmap(self._path, dtype=np.uint8, mode="r", shape=shape)
        return self._rows
