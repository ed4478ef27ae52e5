"""Header-rooted segments: the largest header subtrees of a page that fit the length limits.

A segment is the tree rooted at a header with the subtrees of its lower headers (Li et al.,
section 2.1). Where a subtree is too long, its sub-headers' subtrees are tried instead.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from humpback_pipeline.text.language import detect_language
from humpback_pipeline.web.blocks import Block
from humpback_pipeline.web.extractors import check_extractor, main_content
from humpback_pipeline.web.markdown import render_markdown
from humpback_pipeline.web.navigation import (
    is_navigation_header,
    load_navigation_headers,
)
from humpback_pipeline.web.page import Page, PageDropError, open_page
from humpback_pipeline.web.records import Document, Segment
from humpback_pipeline.web.teaser_sections import is_mostly_boilerplate
from humpback_pipeline.web.teasers import drop_teasers


@dataclass(frozen=True, slots=True)
class SegmentLimits:
    """What a segment may measure.

    min_chars, max_chars: of its Markdown, its header's line included. max_link_share: of its
    visible characters, the share that may stand inside links; above it is a list of links.
    """

    min_chars: int = 600
    max_chars: int = 3_000
    max_link_share: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.min_chars <= self.max_chars:
            raise ValueError(
                f"SegmentLimits: min_chars ({self.min_chars}) must lie between 0 and "
                f"max_chars ({self.max_chars})"
            )
        if not 0.0 <= self.max_link_share <= 1.0:
            raise ValueError(
                f"SegmentLimits: max_link_share ({self.max_link_share}) must lie in [0, 1]"
            )


DEFAULT_LIMITS: Final = SegmentLimits()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A header's subtree that was considered: a segment, or `drop_reason` says why it is none."""

    segment: Segment
    drop_reason: str | None


def extract_segments(
    document: Document, extractor: str = "trafilatura", limits: SegmentLimits | None = None
) -> list[Segment]:
    """Cut a page into segments: the largest header subtrees within `limits`, in page order.

    `text` begins with the segment's own header line, at the header's level, and holds its lower
    sub-headings; subtrees under navigation headers ("Related articles") are left out. Otherwise
    only `limits` apply here; the filters are in filters.py.
    extractor: "trafilatura" or "resiliparse"; raises ValueError for any other, and what the
    extractor raises on a page that it cannot handle.
    """
    check_extractor(extractor)
    try:
        page = open_page(document)
    except PageDropError:
        return []
    found = extract_candidates(page, extractor, limits or DEFAULT_LIMITS)
    return [candidate.segment for candidate in found if candidate.drop_reason is None]


def extract_candidates(
    page: Page,
    extractor: str = "trafilatura",
    limits: SegmentLimits = DEFAULT_LIMITS,
    navigation_headers: tuple[str, ...] | None = None,
) -> list[Candidate]:
    """Like extract_segments, with the subtrees that are dropped among the candidates.

    A subtree under one of `navigation_headers` (default: the project's list) is no part of the
    segments around it. Uses the page up: its tree is changed.
    """
    navigation = navigation_headers or load_navigation_headers()
    content = drop_teasers(main_content(page, extractor), navigation)
    candidates: list[Candidate] = []
    for section in _sections(content, navigation):
        candidates += _select(section, page, limits)
    return candidates


@dataclass(slots=True, eq=False)
class _Section:
    """A header with its own blocks and its lower headers' sections.

    occurrence: how many headers of the same path come before it on the page.
    """

    heading: Block
    path: tuple[str, ...]
    occurrence: int
    is_navigation: bool
    blocks: list[Block] = field(default_factory=list)
    children: list[_Section] = field(default_factory=list)

    def all_blocks(self) -> Iterator[Block]:
        yield self.heading
        yield from self.blocks
        for child in self.children:
            yield from child.all_blocks()


def _sections(content: list[Block], navigation: tuple[str, ...]) -> list[_Section]:
    """Build the header trees; text before the first header belongs to none and is left out.

    A navigation header's tree stands apart from the one around it.
    """
    roots: list[_Section] = []
    open_sections: list[_Section] = []
    seen: Counter[tuple[str, ...]] = Counter()
    for block in content:
        if not block.level:
            if open_sections:
                open_sections[-1].blocks.append(block)
            continue
        while open_sections and open_sections[-1].heading.level >= block.level:
            open_sections.pop()
        parent = open_sections[-1] if open_sections else None
        path = (*(parent.path if parent else ()), block.text)
        is_navigation = is_navigation_header(block.text, navigation)
        section = _Section(block, path, seen[path], is_navigation)
        seen[path] += 1
        (roots if parent is None or section.is_navigation else parent.children).append(section)
        open_sections.append(section)
    return _with_text(roots)


def _with_text(sections: list[_Section]) -> list[_Section]:
    """Leave out headers that head nothing but a navigation header's tree, which stands apart.

    Those that head nothing at all are gone by now (teaser_sections.without_empty_sections).
    """
    for section in sections:
        section.children = _with_text(section.children)
    return [section for section in sections if section.blocks or section.children]


def _select(section: _Section, page: Page, limits: SegmentLimits) -> Iterator[Candidate]:
    blocks = list(section.all_blocks())
    text = render_markdown(blocks)
    if len(text) > limits.max_chars and section.children and not section.is_navigation:
        for child in section.children:
            yield from _select(child, page, limits)
        return
    chars = sum(block.chars for block in blocks if not block.level)
    linked = sum(block.link_chars for block in blocks if not block.level)
    reason = None
    if section.is_navigation:
        reason = "navigation_header"
    elif len(text) < limits.min_chars:
        reason = "too_short"
    elif len(text) > limits.max_chars:
        reason = "too_long"
    elif linked > limits.max_link_share * chars:
        reason = "mostly_links"
    elif is_mostly_boilerplate(text):
        reason = "mostly_teasers"
    yield Candidate(_segment(section, text, page), reason)


def _segment(section: _Section, text: str, page: Page) -> Segment:
    document = page.document
    identity = "\x1f".join((document.document_id, str(section.occurrence), *section.path))
    return Segment(
        segment_id=hashlib.blake2b(identity.encode("utf-8", "replace"), digest_size=16).hexdigest(),
        document_id=document.document_id,
        url=document.url,
        language=document.language
        or detect_language(text, sure=True, prior=page.language)
        or page.language,
        header=section.heading.text,
        header_level=section.heading.level,
        header_path=section.path,
        text=text,
        text_chars=len(text),
        crawl_date=document.crawl_date,
        warc_file=document.warc_file,
        record_offset=document.record_offset,
        document_hash=page.document_hash,
    )
