"""Duplicates among any number of segments, in columns: pages, exact texts, near duplicates."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from humpback_pipeline.storage.atomic import TEMPORARY_PREFIX
from humpback_pipeline.text.stable_hash import Hashes, Indices
from humpback_pipeline.text.words import WordBatch
from humpback_pipeline.web.duplicate_pages import PageTable
from humpback_pipeline.web.minhash import SignatureFile, signatures_of
from humpback_pipeline.web.near_duplicates import cluster_roots

KEPT: Final = ""
DUPLICATE_PAGE: Final = "duplicate_page"
EXACT_DUPLICATE: Final = "exact_duplicate"
NEAR_DUPLICATE: Final = "near_duplicate"
# Codes of `Duplicates.reasons`.
DUPLICATE_REASONS: Final = (KEPT, DUPLICATE_PAGE, EXACT_DUPLICATE, NEAR_DUPLICATE)
_PAGE, _EXACT, _NEAR = 1, 2, 3


@dataclass(frozen=True, slots=True, eq=False)
class Duplicates:
    """What became of each row, in the order added.

    reasons: uint8 codes of DUPLICATE_REASONS. keepers: the row kept in its place, itself if kept.
    by_id: all rows by segment_id, then by the order added.
    """

    reasons: NDArray[np.uint8]
    keepers: Indices
    by_id: Indices


class DuplicateFinder:
    """Takes segments batch by batch, then says which stay: the lowest segment_id of a cluster.

    Use it in a `with` block. A segment costs about 250 bytes of memory and 128 of disk, in a
    temporary folder below `folder`; its text is not kept.
    """

    def __init__(self, threshold: float, *, ngram: int = 5, folder: Path | None = None) -> None:
        """Raises ValueError for a threshold outside (0, 1] or an ngram below 1."""
        if not 0.0 < threshold <= 1.0:
            raise ValueError(f"deduplicate: threshold {threshold} must lie in (0, 1]")
        if ngram < 1:
            raise ValueError(f"deduplicate: ngram {ngram} must be at least 1")
        self._threshold, self._ngram = threshold, ngram
        self._folder = tempfile.TemporaryDirectory(prefix=_prefix(), dir=folder)
        self._signatures = SignatureFile(Path(self._folder.name, "signatures.u8"))
        self._ids: list[pl.Series] = []
        self._text_keys: list[Hashes] = []
        self._pages = PageTable()

    def __enter__(self) -> DuplicateFinder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._signatures.close()
        self._folder.cleanup()

    def add(
        self,
        segment_ids: pl.Series | Sequence[str],
        words: WordBatch,
        documents: pl.DataFrame | None = None,
    ) -> None:
        """Add segments; `documents`: columns document_id and document_hash, one row a segment.

        Without them, or where document_hash is null or empty, a segment is of no duplicate page.
        """
        self._ids.append(pl.Series("segment_id", segment_ids, dtype=pl.String))
        self._text_keys.append(words.text_keys())
        self._signatures.append(signatures_of(words, self._ngram))
        self._pages.add(documents, words.n_texts)

    @property
    def segment_ids(self) -> pl.Series:
        """All segment_ids, in the order added."""
        if not self._ids:
            return pl.Series("segment_id", [], dtype=pl.String)
        if len(self._ids) > 1:
            self._ids = [pl.concat(self._ids, rechunk=True)]
        return self._ids[0]

    def resolve(
        self,
        excluded: NDArray[np.bool_] | None = None,
        on_band: Callable[[int, int], None] = lambda done, total: None,
    ) -> Duplicates:
        """Decide on all segments; `excluded` rows take no part and stand as kept.

        First a segment_id that occurs again is left to its first row, then the pages equal to one
        of a lower document_id are dropped, then equal texts, then near duplicates. `on_band` hears
        of the search for the last: (bands done, bands in all).
        """
        by_id = self._by_id()
        # From here on a place is a position among the rows that take part, lowest id first.
        rows = by_id if excluded is None else by_id[~excluded[by_id]]
        places = np.arange(len(rows))
        is_first = _is_first(self.segment_ids.gather(rows))
        text_keys = self._all_text_keys()[rows]
        page_keepers = self._pages.keepers(rows, text_keys, is_first)
        in_page = page_keepers >= 0
        leader = _lowest_of_equal(text_keys, is_first & ~in_page)
        leads = np.flatnonzero(leader == places)
        roots = cluster_roots(self._signatures, rows[leads], self._threshold, on_band)

        keeper, reasons = places.copy(), np.zeros(len(rows), dtype=np.uint8)
        keeper[leads] = leads[roots]
        texts = leader >= 0
        keeper[texts] = keeper[leader[texts]]
        dropped = texts & (keeper != places)
        reasons[dropped] = np.where(leader[dropped] == keeper[dropped], _EXACT, _NEAR)
        keeper[in_page], reasons[in_page] = keeper[page_keepers[in_page]], _PAGE
        first = np.maximum.accumulate(np.where(is_first, places, 0))
        again = ~is_first  # shares the fate of its first row, or is an exact duplicate of it
        keeper[again] = keeper[first[again]]
        reasons[again] = np.where(reasons[first[again]] == 0, _EXACT, reasons[first[again]])

        all_reasons = np.zeros(len(by_id), dtype=np.uint8)
        all_reasons[rows] = reasons
        all_keepers = np.arange(len(by_id))
        all_keepers[rows] = rows[keeper]
        return Duplicates(all_reasons, all_keepers, by_id)

    def _by_id(self) -> Indices:
        frame = pl.DataFrame({"id": self.segment_ids}).with_row_index("row")
        in_order = frame.lazy().sort("id", maintain_order=True).select("row").collect()
        return in_order["row"].to_numpy().astype(np.int64)

    def _all_text_keys(self) -> Hashes:
        self._text_keys = [np.concatenate([np.empty((0, 2), dtype=np.uint64), *self._text_keys])]
        return self._text_keys[0]


def _lowest_of_equal(text_keys: Hashes, takes_part: NDArray[np.bool_]) -> Indices:
    """For each place that takes part the lowest place of an equal text, for others -1."""
    places = np.flatnonzero(takes_part)
    keys = text_keys[places]
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: the lowest place leads its equals
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (keys[order[1:]] != keys[order[:-1]]).any(axis=1)
    leader = order[np.maximum.accumulate(np.where(is_first, np.arange(len(order)), 0))]
    lowest = np.full(len(text_keys), -1, dtype=np.int64)
    lowest[places[order]] = places[leader]
    return lowest


def _is_first(sorted_ids: pl.Series) -> NDArray[np.bool_]:
    is_first = np.ones(len(sorted_ids), dtype=bool)
    if len(sorted_ids) > 1:
        is_first[1:] = (sorted_ids.slice(1) != sorted_ids.slice(0, len(sorted_ids) - 1)).to_numpy()
    return is_first


def _prefix() -> str:
    # The form in which leftovers of a killed process are found and removed.
    return f"{TEMPORARY_PREFIX}signatures-{os.getpid()}-"
