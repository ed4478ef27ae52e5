"""A document parsed and screened: what can be known of a page before the costly extraction."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import lxml.html

from humpback_pipeline.web.blocks import Block, collect_blocks
from humpback_pipeline.web.html import decode_html, parse_html
from humpback_pipeline.web.language import detect_language
from humpback_pipeline.web.markers import remove_marker_symbols
from humpback_pipeline.web.records import Document


@dataclass(frozen=True, slots=True)
class Page:
    """A parsed page: its marked tree, its blocks, and its language.

    language: what the corpus states, else what its whole text is most likely in.
    """

    document: Document
    tree: lxml.html.HtmlElement
    blocks: list[Block]
    language: str | None


def open_page(document: Document) -> Page | None:
    """Parse a document; None when its bytes give no tree."""
    html = decode_html(document.html, document.charset)
    tree = parse_html(remove_marker_symbols(html))
    if tree is None:
        return None
    blocks = collect_blocks(tree)
    text = "\n".join(block.text for block in blocks)
    return Page(document, tree, blocks, document.language or detect_language(text))


def screen_page(page: Page, languages: Collection[str] | None, min_chars: int) -> str | None:
    """Return why a page cannot give a segment (no_heading, too_little_text, language), or None."""
    if not any(block.level and block.text for block in page.blocks):
        return "no_heading"
    if sum(len(block.text) for block in page.blocks) < min_chars:
        return "too_little_text"
    if languages is not None and page.language not in languages:
        return "language"
    return None
