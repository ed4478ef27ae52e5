"""One WARC shard to filtered segments, with the whole funnel counted and samples of each drop."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from humpback_pipeline.web.extractors import check_extractor
from humpback_pipeline.web.filters import FilterThresholds, drop_reason, filter_length
from humpback_pipeline.web.page import PageDropError, open_page
from humpback_pipeline.web.page_places import BETWEEN_PAGES, PagePlaces, describe_place
from humpback_pipeline.web.records import Document, Segment
from humpback_pipeline.web.segments import Candidate, SegmentLimits, extract_candidates
from humpback_pipeline.web.shard_report import DropSample, ShardReport
from humpback_pipeline.web.time_limit import PageTimeoutError, cpu_time_limit
from humpback_pipeline.web.warc import DEFAULT_MAX_HTML_BYTES, DocumentReader, read_documents

if TYPE_CHECKING:
    from humpback_pipeline.web.screens import Screens

_PROGRESS_EVERY_S: Final = 2.0


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
    max_page_cpu_s: float = 2.0,
    screens: Screens | None = None,
    skip: Mapping[int, str] = MappingProxyType({}),
    on_page: Callable[[int], None] | None = None,
    on_progress: Callable[[ShardReport], None] | None = None,
) -> ShardSegments:
    """Stream the filtered segments of one WARC file.

    languages: two-letter codes wanted, None for all; thresholds and limits default to the paper's.
    A page that fails, or takes over `max_page_cpu_s` seconds of CPU time, costs one counted drop.
    screens: further tests of URLs and texts. skip: place (page_places.py) → reason of pages to drop
    unread. on_page gets the place of each page before work on it begins, and BETWEEN_PAGES after
    it; on_progress the running report every two seconds and at the end. Raises at once
    NotAWarcError, OSError, and ValueError for an unknown extractor.
    """
    check_extractor(extractor)
    thresholds = thresholds or FilterThresholds(languages=languages)
    limits = limits or SegmentLimits(thresholds.min_chars, thresholds.max_chars)
    reader = read_documents(path, max_html_bytes)
    report = ShardReport(Path(path).name, extractor)
    work = _Work(
        reader,
        report,
        thresholds,
        limits,
        max_page_cpu_s=max_page_cpu_s,
        screens=screens,
        skip=skip,
        on_page=on_page,
        on_progress=on_progress,
    )
    return ShardSegments(report, work.segments())


@dataclass(slots=True)
class _Work:
    """One pass over a shard."""

    reader: DocumentReader
    report: ShardReport
    thresholds: FilterThresholds
    limits: SegmentLimits
    max_page_cpu_s: float
    screens: Screens | None
    skip: Mapping[int, str]
    on_page: Callable[[int], None] | None
    on_progress: Callable[[ShardReport], None] | None

    def segments(self) -> Iterator[Segment]:
        started = last_told = time.monotonic()
        page_drops: Counter[str] = Counter()
        seen: set[int] = set()
        places = PagePlaces()
        with self.reader:
            for document in self.reader:
                self.report.n_documents += 1
                place = places.next(document.record_offset)
                try:
                    self._admit(document, place, seen)
                    if self.on_page:
                        self.on_page(place)
                    candidates = self._candidates(document)
                except PageDropError as drop:
                    page_drops[drop.reason] += 1
                    self.report.sample(
                        DropSample(
                            drop.reason, document.document_id, document.url, text=drop.detail
                        )
                    )
                    candidates = []
                yield from self._filtered(candidates)
                if self.on_page:
                    self.on_page(BETWEEN_PAGES)
                now = time.monotonic()
                self._update(page_drops, now - started)
                if self.on_progress and now - last_told >= _PROGRESS_EVERY_S:
                    last_told = now
                    self.on_progress(self.report)
        self._update(page_drops, time.monotonic() - started)
        for records in self.reader.drop_samples.values():
            for record in records:
                where = f"record at offset {record.offset}"
                self.report.sample(DropSample(record.reason, where, record.url, text=record.detail))
        if self.on_progress:
            self.on_progress(self.report)

    def _admit(self, document: Document, place: int, seen: set[int]) -> None:
        """Refuse what need not be opened; `seen` holds hashes of what the shard has had so far."""
        if place in self.skip:
            raise PageDropError(self.skip[place], f"record at offset {describe_place(place)}")
        reason = self.screens.page_reason(document.url) if self.screens else None
        if reason:
            raise PageDropError(reason)
        # A record that stands twice in a file would give every segment twice.
        for name, value in (
            ("duplicate_record", document.document_id),
            ("duplicate_page", document.html),
        ):
            if hash(value) in seen:
                raise PageDropError(name)
            seen.add(hash(value))

    def _candidates(self, document: Document) -> list[Candidate]:
        """Cut one page; whatever goes wrong with it is a drop of this page alone."""
        try:
            with cpu_time_limit(self.max_page_cpu_s):
                page = open_page(document, self.thresholds.languages, self.limits.min_chars)
                self.report.languages[page.language or "unknown"] += 1
                candidates = extract_candidates(
                    page, self.report.extractor, self.limits, self.thresholds.navigation_headers
                )
        except PageDropError as drop:
            if drop.language:
                self.report.languages[drop.language] += 1
            raise
        except PageTimeoutError as error:
            raise PageDropError("extraction_timeout", str(error)) from error
        # The extractor is other people's code on arbitrary pages, RecursionError included.
        except (Exception, RecursionError) as error:
            raise PageDropError("extraction_error", repr(error)[:300]) from error
        if not candidates:
            raise PageDropError("no_main_content")
        return candidates

    def _filtered(self, candidates: list[Candidate]) -> Iterator[Segment]:
        for candidate in candidates:
            segment = candidate.segment
            self.report.n_candidates += 1
            reason = candidate.drop_reason or drop_reason(segment, self.thresholds)
            if reason is None and self.screens:
                segment, reason = self._screened(segment, self.screens)
            if reason is None:
                self.report.n_segments += 1
                self.report.last_header = segment.header
                self.report.hosts[urlsplit(segment.url).hostname or ""] += 1
                yield segment
                continue
            self.report.segment_drops[reason] += 1
            self.report.sample(
                DropSample(
                    reason, segment.document_id, segment.url, segment.header, segment.text[:3_000]
                )
            )

    def _screened(self, segment: Segment, screens: Screens) -> tuple[Segment, str | None]:
        result = screens.screen(segment.text, segment.language)
        self.report.masked.update(result.n_masked)
        if result.text == segment.text:
            return segment, result.reason
        masked = replace(
            segment,
            header=screens.mask(segment.header),
            header_path=tuple(screens.mask(header) for header in segment.header_path),
            text=result.text,
            text_chars=len(result.text),
        )
        return masked, result.reason or filter_length(masked, self.thresholds)

    def _update(self, page_drops: Counter[str], elapsed_s: float) -> None:
        self.report.n_records = self.reader.n_records
        self.report.partial = self.reader.partial
        self.report.document_drops = self.reader.dropped + page_drops
        self.report.elapsed_s = elapsed_s
