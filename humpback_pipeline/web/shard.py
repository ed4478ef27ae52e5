"""One WARC shard to filtered segments, with the whole funnel counted and samples of each drop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from humpback_pipeline.web.extractors import check_extractor
from humpback_pipeline.web.filters import FilterThresholds, drop_reason
from humpback_pipeline.web.page import open_page, screen_page
from humpback_pipeline.web.records import Document, Segment
from humpback_pipeline.web.segments import Candidate, SegmentLimits, extract_candidates
from humpback_pipeline.web.time_limit import PageTimeoutError, cpu_time_limit
from humpback_pipeline.web.warc import DEFAULT_MAX_HTML_BYTES, DocumentReader, read_documents

_SAMPLES_PER_REASON: Final = 5
_N_TOP_HOSTS: Final = 20
_PROGRESS_EVERY_S: Final = 2.0


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
    of a damaged file; elapsed_s: seconds of wall time; last_header: of the last segment kept.
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
    elapsed_s: float = 0.0
    last_header: str = ""

    @property
    def top_hosts(self) -> dict[str, int]:
        """Hosts with the most segments, most first."""
        return dict(self.hosts.most_common(_N_TOP_HOSTS))

    def _sample(self, sample: DropSample) -> None:
        samples = self.drop_samples.setdefault(sample.reason, [])
        if len(samples) < _SAMPLES_PER_REASON:
            samples.append(sample)


class ShardSegments(Iterator[Segment]):
    """Iterator over a shard's segments; `.report` counts what was dropped on the way."""

    def __init__(self, report: ShardReport, segments: Iterator[Segment]) -> None:
        self.report = report
        self._segments = segments

    def __next__(self) -> Segment:
        return next(self._segments)


def segment_shard(
    path: str | Path,
    *,
    extractor: str = "trafilatura",
    languages: tuple[str, ...] | None = ("en",),
    thresholds: FilterThresholds | None = None,
    limits: SegmentLimits | None = None,
    max_html_bytes: int = DEFAULT_MAX_HTML_BYTES,
    max_page_cpu_s: float = 10.0,
    on_progress: Callable[[ShardReport], None] | None = None,
) -> ShardSegments:
    """Stream the filtered segments of one WARC file.

    languages: two-letter codes wanted, None for all; thresholds and limits default to the paper's.
    A page that fails, or takes over `max_page_cpu_s` seconds of CPU time, costs one counted drop.
    on_progress gets the running report every two seconds and at the end. Raises at once
    NotAWarcError, OSError, and ValueError for an unknown extractor.
    """
    check_extractor(extractor)
    thresholds = thresholds or FilterThresholds(languages=languages)
    limits = limits or SegmentLimits(thresholds.min_chars, thresholds.max_chars)
    reader = read_documents(path, max_html_bytes)
    report = ShardReport(Path(path).name, extractor)
    work = _Work(reader, report, thresholds, limits, max_page_cpu_s, on_progress)
    return ShardSegments(report, work.segments())


@dataclass(slots=True)
class _Work:
    """One pass over a shard."""

    reader: DocumentReader
    report: ShardReport
    thresholds: FilterThresholds
    limits: SegmentLimits
    max_page_cpu_s: float
    on_progress: Callable[[ShardReport], None] | None

    def segments(self) -> Iterator[Segment]:
        started = last_told = time.monotonic()
        page_drops: Counter[str] = Counter()
        seen: set[str] = set()
        with self.reader:
            for document in self.reader:
                self.report.n_documents += 1
                try:
                    # A record that stands twice in a file would give every segment twice.
                    if document.document_id in seen:
                        raise _PageDropError("duplicate_record")
                    seen.add(document.document_id)
                    candidates = self._candidates(document)
                except _PageDropError as drop:
                    page_drops[drop.reason] += 1
                    self.report._sample(
                        DropSample(
                            drop.reason, document.document_id, document.url, text=drop.detail
                        )
                    )
                    candidates = []
                yield from self._filtered(candidates)
                now = time.monotonic()
                self._update(page_drops, now - started)
                if self.on_progress and now - last_told >= _PROGRESS_EVERY_S:
                    last_told = now
                    self.on_progress(self.report)
        self._update(page_drops, time.monotonic() - started)
        if self.on_progress:
            self.on_progress(self.report)

    def _candidates(self, document: Document) -> list[Candidate]:
        """Cut one page; whatever goes wrong with it is a drop of this page alone."""
        try:
            with cpu_time_limit(self.max_page_cpu_s):
                page = open_page(document)
                if page is None:
                    raise _PageDropError("unparsable")
                self.report.languages[page.language or "unknown"] += 1
                reason = screen_page(page, self.thresholds.languages, self.limits.min_chars)
                if reason:
                    raise _PageDropError(reason)
                candidates = extract_candidates(
                    page, self.report.extractor, self.limits, self.thresholds.navigation_headers
                )
        except _PageDropError:
            raise
        except PageTimeoutError as error:
            raise _PageDropError("extraction_timeout", str(error)) from error
        # The extractor is other people's code on arbitrary pages, RecursionError included.
        except (Exception, RecursionError) as error:
            raise _PageDropError("extraction_error", repr(error)[:300]) from error
        if not candidates:
            raise _PageDropError("no_main_content")
        return candidates

    def _filtered(self, candidates: list[Candidate]) -> Iterator[Segment]:
        for candidate in candidates:
            segment = candidate.segment
            self.report.n_candidates += 1
            reason = candidate.drop_reason or drop_reason(segment, self.thresholds)
            if reason is None:
                self.report.n_segments += 1
                self.report.last_header = segment.header
                self.report.hosts[urlsplit(segment.url).hostname or ""] += 1
                yield segment
                continue
            self.report.segment_drops[reason] += 1
            self.report._sample(
                DropSample(
                    reason, segment.document_id, segment.url, segment.header, segment.text[:3_000]
                )
            )

    def _update(self, page_drops: Counter[str], elapsed_s: float) -> None:
        self.report.n_records = self.reader.n_records
        self.report.partial = self.reader.partial
        self.report.document_drops = self.reader.dropped + page_drops
        self.report.elapsed_s = elapsed_s


class _PageDropError(Exception):
    """This page gives no segments."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
