"""64-bit hashes of many strings at once, the same on every machine and in every version.

A polynomial over the bytes modulo 2**64 gives the hash of any span of a buffer from two prefix
sums, so that all n-grams of all texts cost a handful of passes over the buffer; a finaliser
(Steele et al., "Fast splittable pseudorandom number generators", 2014) spreads the bits. Polars'
own hash() may change between its versions, and Python's does between processes.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

Bytes: TypeAlias = NDArray[np.uint8]
Hashes: TypeAlias = NDArray[np.uint64]
Indices: TypeAlias = NDArray[np.int64]

_BASE: Final = 0x9E3779B97F4A7C15
_INVERSE: Final = pow(_BASE, -1, 2**64)
_ROWS_AT_ONCE: Final = 1 << 16


def mix(values: Hashes) -> Hashes:
    """Spread the bits of 64-bit values: splitmix64's finaliser, a bijection."""
    mixed = values + np.uint64(_BASE)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


# A value for each byte, spread so that texts of few different letters do not look alike.
_BYTE_VALUES: Final = mix(np.arange(1, 257, dtype=np.uint64))


class HashedBytes:
    """Prefix sums over a buffer, ready to give the hash of any of its spans."""

    def __init__(self, data: Bytes) -> None:
        self._sums = np.empty(len(data) + 1, dtype=np.uint64)
        self._sums[0] = 0
        np.cumsum(_BYTE_VALUES[data] * _powers(_BASE, len(data)), out=self._sums[1:])
        self._unshift = _powers(_INVERSE, len(data) + 1)

    def spans(self, starts: Indices, ends: Indices) -> Hashes:
        """Hash of the bytes from each start up to its end; equal bytes have equal hashes."""
        sums = (self._sums[ends] - self._sums[starts]) * self._unshift[starts]
        # Without the length, a span of zero bytes would be that of any length that sums to 0.
        return mix(sums + (ends - starts).astype(np.uint64))


def string_hashes(strings: pl.Series) -> Hashes:
    """Hash of each string of a series; that of null is that of the empty string."""
    parts = [
        _hashes_of_some(strings.slice(first, _ROWS_AT_ONCE))
        for first in range(0, len(strings), _ROWS_AT_ONCE)
    ]
    return np.concatenate(parts) if parts else np.empty(0, dtype=np.uint64)


def _hashes_of_some(strings: pl.Series) -> Hashes:
    filled = strings.fill_null("")
    ends = np.cumsum(filled.str.len_bytes().to_numpy(), dtype=np.int64)
    starts = np.concatenate([np.zeros(1, dtype=np.int64), ends[:-1]])
    data = np.frombuffer("".join(filled.to_list()).encode(), dtype=np.uint8)
    return HashedBytes(data).spans(starts, ends)


_known_powers: Final[dict[int, Hashes]] = {}


def _powers(base: int, count: int) -> Hashes:
    known = _known_powers.get(base)
    if known is None or len(known) < count:
        # Room to spare, so that slowly growing buffers do not have them made again each time.
        factors = np.full(max(1 << 16, count + count // 4), base, dtype=np.uint64)
        factors[0] = 1
        known = _known_powers[base] = np.cumprod(factors, dtype=np.uint64)
    return known[:count]
