"""Exact and near duplicates across segments: MinHash-LSH, clusters by union-find."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, Protocol, overload

import polars as pl

from humpback_pipeline.text.words import WordBatch
from humpback_pipeline.web.duplicate_finder import (
    DUPLICATE_REASONS,
    KEPT,
    DuplicateFinder,
    Duplicates,
)

_BATCH: Final = 500


class TextRecord(Protocol):
    """Anything with an identifier and a text."""

    @property
    def segment_id(self) -> str:
        """Identifier, unique among the records."""

    @property
    def text(self) -> str:
        """The text to compare."""


@dataclass(frozen=True, slots=True)
class DedupDecision:
    """What became of one segment: kept, or dropped as the duplicate of one that is kept.

    reason: "exact_duplicate", "near_duplicate", or "" when kept. duplicate_of: the keeper's
    segment_id, or None when kept.
    """

    segment_id: str
    kept: bool
    reason: str
    duplicate_of: str | None


class DedupResult(Sequence[DedupDecision]):
    """One decision for each record, in the order of the input; held in columns."""

    def __init__(self, segment_ids: pl.Series, duplicates: Duplicates) -> None:
        self._ids, self._duplicates = segment_ids, duplicates

    def __len__(self) -> int:
        return len(self._ids)

    @overload
    def __getitem__(self, index: int) -> DedupDecision: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DedupDecision]: ...
    def __getitem__(self, index: int | slice) -> DedupDecision | Sequence[DedupDecision]:
        rows = range(len(self))[index]
        return self._decision(rows) if isinstance(rows, int) else [*map(self._decision, rows)]

    def __iter__(self) -> Iterator[DedupDecision]:
        return map(self._decision, range(len(self)))

    @property
    def decisions(self) -> tuple[DedupDecision, ...]:
        """All decisions as objects."""
        return tuple(self)

    @property
    def kept_ids(self) -> list[str]:
        """Identifiers of the segments to keep, sorted."""
        return self._ids.filter(pl.Series(self._duplicates.reasons == 0)).sort().to_list()

    @property
    def by_id(self) -> dict[str, DedupDecision]:
        """The decision on each segment_id; for one that occurs again, on its first record."""
        found: dict[str, DedupDecision] = {}
        for decision in self:
            found.setdefault(decision.segment_id, decision)
        return found

    def _decision(self, row: int) -> DedupDecision:
        reason = DUPLICATE_REASONS[self._duplicates.reasons[row]]
        if reason == KEPT:
            return DedupDecision(self._ids[row], True, reason, None)
        keeper = self._ids[int(self._duplicates.keepers[row])]
        return DedupDecision(self._ids[row], False, reason, keeper)


def deduplicate(
    segments: Iterable[TextRecord], threshold: float = 0.8, *, ngram: int = 5
) -> DedupResult:
    """Cluster segments that are equal or nearly so, and keep one of each cluster.

    Equal: same words in the same order, case and punctuation apart, or the same segment_id again
    (one page in two shards). Near: Jaccard similarity of word n-grams, estimated by MinHash, of at
    least `threshold`. Clusters are transitive: of a chain A~B~C one is kept, the lowest
    segment_id, whatever the order of the input. Takes one pass over `segments` and holds a
    signature of each in a temporary file, not the text. For pages and for columns see
    `DuplicateFinder`. Raises ValueError for a threshold outside (0, 1] or an ngram below 1.
    """
    with DuplicateFinder(threshold, ngram=ngram) as finder:
        records = iter(segments)
        while batch := list(islice(records, _BATCH)):
            words = WordBatch([record.text for record in batch])
            finder.add([record.segment_id for record in batch], words)
        return DedupResult(finder.segment_ids, finder.resolve())
