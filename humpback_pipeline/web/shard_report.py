"""What became of a shard's records, pages and segments: counts by reason, and samples of drops."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

_SAMPLES_PER_REASON: Final = 5
_N_TOP_HOSTS: Final = 20


@dataclass(frozen=True, slots=True)
class DropSample:
    """A dropped page or segment, kept for inspection; `header` and `text` are empty for a page."""

    reason: str
    document_id: str
    url: str
    header: str = ""
    text: str = ""


@dataclass(slots=True)
class ShardReport:
    """The funnel of one shard; complete once its segments are all read.

    n_records: WARC records; n_documents: HTML pages among them; document_drops: reason → records
    and pages that gave nothing; n_candidates: header subtrees considered; segment_drops: reason →
    subtrees dropped; n_segments: subtrees kept; languages: language → pages; partial: what was lost
    of a damaged file; masked: kind of personal data → places masked; elapsed_s: seconds of wall
    time; last_header: of the last segment kept.
    """

    warc_file: str
    extractor: str
    n_records: int = 0
    n_documents: int = 0
    document_drops: Counter[str] = field(default_factory=Counter)
    n_candidates: int = 0
    segment_drops: Counter[str] = field(default_factory=Counter)
    n_segments: int = 0
    drop_samples: dict[str, list[DropSample]] = field(default_factory=dict)
    partial: str | None = None
    languages: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    masked: Counter[str] = field(default_factory=Counter)
    elapsed_s: float = 0.0
    last_header: str = ""

    @property
    def top_hosts(self) -> dict[str, int]:
        """Hosts with the most segments, most first."""
        return dict(self.hosts.most_common(_N_TOP_HOSTS))

    def sample(self, sample: DropSample) -> None:
        """Keep `sample` if its reason has few yet."""
        samples = self.drop_samples.setdefault(sample.reason, [])
        if len(samples) < _SAMPLES_PER_REASON:
            samples.append(sample)
