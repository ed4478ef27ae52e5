"""Clusters of near duplicates by locality-sensitive hashing, band by band, in linear time.

Texts that agree in all slots of a band form a bucket. In a bucket of n texts each is compared with
its lowest text and with the `_WINDOW` texts before it, so n texts cost O(n) comparisons however
large the bucket; a bucket of up to `_WINDOW` + 1 texts is compared completely. Within a bucket the
texts are ordered by their next band, which brings the most alike together, and pairs that are in
one cluster already are not compared: a million copies of one page are one cluster after the first
band. The number of comparisons is therefore at most bands x (`_WINDOW` + 1) a text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np

from humpback_pipeline.text.stable_hash import Hashes, Indices
from humpback_pipeline.web.minhash import SIGNATURE_BYTES, SignatureFile, slots_needed
from humpback_pipeline.web.union_find import DisjointSets

_WINDOW: Final = 16


def band_slots(threshold: float) -> int:
    """Slots of a band: sixteen bands of eight, below 0.8 thirty-two of four.

    Of pairs of similarity 0.8 sixteen bands of eight find 95 %, of 0.9 99.99 %; thirty-two of four
    find 99.98 % at 0.7, 87 % at 0.5. Below that this kind of search is not meant for the purpose.
    """
    return 8 if threshold >= 0.8 else 4


def cluster_roots(
    signatures: SignatureFile,
    rows: Indices,
    threshold: float,
    on_band: Callable[[int, int], None] = lambda done, total: None,
) -> Indices:
    """For each of `rows` (rows of `signatures`) the place in `rows` of its cluster's first.

    Two rows are joined when their estimated Jaccard similarity is at least `threshold`; clusters
    are transitive. `on_band` is told (bands done, bands in all). Memory: about 40 bytes a row.
    """
    sets = DisjointSets(len(rows))
    slots, needed = band_slots(threshold), slots_needed(threshold)
    n_bands = SIGNATURE_BYTES // slots
    for band in range(n_bands if len(rows) else 0):
        places, buckets = _members(signatures.bands(band, slots, rows))
        if len(places):
            # The next band's keys, of the members only, put the most alike side by side.
            nearby = signatures.bands((band + 1) % n_bands, slots, rows[places])
            order = np.lexsort((places, nearby, buckets))
            places, buckets = places[order], buckets[order]
        for left, right in _pairs(places, buckets):
            apart = sets.find(left) != sets.find(right)
            left, right = left[apart], right[apart]
            alike = signatures.agreeing(rows[left], rows[right]) >= needed
            sets.union(left[alike], right[alike])
        on_band(band + 1, n_bands)
    return sets.find(np.arange(len(rows)))


def _members(keys: Hashes) -> tuple[Indices, Indices]:
    """Places of the keys that occur more than once, by key, and the number of each one's bucket."""
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    same = ordered[1:] == ordered[:-1]
    shared = np.zeros(len(keys), dtype=bool)
    shared[1:] |= same
    shared[:-1] |= same
    ordered = ordered[shared]
    is_first = np.ones(len(ordered), dtype=bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return order[shared], np.cumsum(is_first) - 1


def _pairs(places: Indices, buckets: Indices) -> Iterator[tuple[Indices, Indices]]:
    """Pairs to compare: with the bucket's lowest, then with the one before, the one before that …

    In so many rounds, that each may leave out what an earlier one has joined.
    """
    if not len(places):
        return
    lowest = np.full(buckets[-1] + 1, np.iinfo(np.int64).max)
    np.minimum.at(lowest, buckets, places)
    yield places, lowest[buckets]
    largest = int(np.bincount(buckets).max())
    for step in range(1, min(_WINDOW, largest - 1) + 1):
        together = buckets[step:] == buckets[:-step]
        yield places[step:][together], places[:-step][together]
