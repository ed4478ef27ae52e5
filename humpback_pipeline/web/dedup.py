"""Exact and near duplicates across segments: MinHash-LSH by rensa, clusters by union-find."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, overload

from rensa import RMinHash, RMinHashLSH

_WORD: Final = re.compile(r"\w+")
_SEED: Final = 42
# Sixteen bands of eight rows: a pair of similarity 0.8 is found with probability 0.95, of 0.9 with
# 0.9999; unlike pairs that meet in a band are refused by the estimate that follows.
_N_PERMUTATIONS: Final = 128
_N_BANDS: Final = 16


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


@dataclass(frozen=True, slots=True)
class DedupResult(Sequence[DedupDecision]):
    """One decision for each record, in the order of the input."""

    decisions: tuple[DedupDecision, ...]

    def __len__(self) -> int:
        return len(self.decisions)

    @overload
    def __getitem__(self, index: int) -> DedupDecision: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[DedupDecision]: ...
    def __getitem__(self, index: int | slice) -> DedupDecision | Sequence[DedupDecision]:
        return self.decisions[index]

    @property
    def kept_ids(self) -> list[str]:
        """Identifiers of the segments to keep, sorted."""
        return sorted(decision.segment_id for decision in self.decisions if decision.kept)

    @property
    def by_id(self) -> dict[str, DedupDecision]:
        """The decision on each segment_id; for one that occurs again, on its first record."""
        found: dict[str, DedupDecision] = {}
        for decision in self.decisions:
            found.setdefault(decision.segment_id, decision)
        return found


def deduplicate(
    segments: Iterable[TextRecord], threshold: float = 0.8, *, ngram: int = 5
) -> DedupResult:
    """Cluster segments that are equal or nearly so, and keep one of each cluster.

    Equal: same words in the same order, case and punctuation apart, or the same segment_id again
    (one page in two shards). Near: Jaccard similarity of word n-grams, estimated by MinHash, of at
    least `threshold`. Clusters are transitive: of a chain A~B~C one is kept, the lowest
    segment_id, whatever the order of the input. Takes one pass over `segments` and holds a
    signature of each, not the text. Raises ValueError for a threshold outside (0, 1].
    """
    if not 0.0 < threshold <= 1.0:
        raise ValueError(f"deduplicate: threshold {threshold} must lie in (0, 1]")
    if ngram < 1:
        raise ValueError(f"deduplicate: ngram {ngram} must be at least 1")
    order: list[str] = []
    text_keys: dict[str, bytes] = {}
    sketches: dict[bytes, RMinHash] = {}
    for segment in segments:
        order.append(segment.segment_id)
        if segment.segment_id in text_keys:
            continue
        words = _WORD.findall(segment.text.lower())
        key = hashlib.blake2b(" ".join(words).encode("utf-8", "replace"), digest_size=16).digest()
        text_keys[segment.segment_id] = key
        if key not in sketches:
            sketches[key] = _sketch(words, ngram)
    # The lowest identifier of each set of equal texts stands for it.
    leaders: dict[bytes, str] = {}
    for segment_id in sorted(text_keys):
        leaders.setdefault(text_keys[segment_id], segment_id)
    keepers = _cluster({leader: sketches[key] for key, leader in leaders.items()}, threshold)
    leader_of = {segment_id: leaders[key] for segment_id, key in text_keys.items()}
    return DedupResult(tuple(_decide(order, leader_of, keepers)))


def _sketch(words: list[str], ngram: int) -> RMinHash:
    sketch = RMinHash(num_perm=_N_PERMUTATIONS, seed=_SEED)
    last = max(1, len(words) - ngram + 1)
    sketch.update([" ".join(words[start : start + ngram]) for start in range(last)])
    return sketch


def _cluster(sketches: dict[str, RMinHash], threshold: float) -> dict[str, str]:
    """Map each identifier to the lowest one of its cluster."""
    ids = sorted(sketches)
    index = RMinHashLSH(threshold=threshold, num_perm=_N_PERMUTATIONS, num_bands=_N_BANDS)
    parent = {segment_id: segment_id for segment_id in ids}
    for number, segment_id in enumerate(ids):
        sketch = sketches[segment_id]
        for candidate in sorted(index.query(sketch)):
            other = ids[candidate]
            if sketch.jaccard(sketches[other]) >= threshold:
                a, b = _root(parent, segment_id), _root(parent, other)
                parent[max(a, b)] = min(a, b)
        index.insert(number, sketch)
    return {segment_id: _root(parent, segment_id) for segment_id in ids}


def _root(parent: dict[str, str], segment_id: str) -> str:
    while parent[segment_id] != segment_id:
        parent[segment_id] = parent[parent[segment_id]]
        segment_id = parent[segment_id]
    return segment_id


def _decide(
    order: list[str], leader_of: dict[str, str], keepers: dict[str, str]
) -> Iterator[DedupDecision]:
    seen: set[str] = set()
    for segment_id in order:
        leader = leader_of[segment_id]
        keeper = keepers[leader]
        if segment_id == keeper and segment_id not in seen:
            yield DedupDecision(segment_id, True, "", None)
        else:
            reason = "exact_duplicate" if leader == keeper else "near_duplicate"
            yield DedupDecision(segment_id, False, reason, keeper)
        seen.add(segment_id)
