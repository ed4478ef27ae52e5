"""A document screened and parsed: cheap tests first, as most pages of a crawl end at one."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from humpback_pipeline.web.complexity import too_complex
from humpback_pipeline.web.html import decode_html
from humpback_pipeline.web.language import detect_language, language_code
from humpback_pipeline.web.records import Document

_HEADING: Final = re.compile(rb"<[hH][1-6][\s>]")
_EMPTY_TAG: Final = re.compile(
    r"<((a|b|code|div|em|i|iframe|li|p|script|span|strong|td|textarea|title|ul)\b[^<>]*?)\s*/>"
)


class PageDropError(Exception):
    """A page gives no segments: `reason` is the name to count it by, `detail` says more.

    language: that of the page, when it is known by then.
    """

    def __init__(self, reason: str, detail: str = "", language: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail
        self.language = language


@dataclass(frozen=True, slots=True)
class Page:
    """A page that may give segments: its text, its tree by resiliparse, and its language.

    language: what the corpus states, else what its whole text is most likely in.
    """

    document: Document
    document_hash: str
    html: str
    tree: HTMLTree
    language: str | None


def open_page(
    document: Document, languages: Collection[str] | None = None, min_chars: int = 0
) -> Page:
    """Screen and parse a document, the cheapest tests first.

    languages: two-letter codes wanted, None for all; `min_chars` of visible text are needed. Raises
    PageDropError: no_heading, language, too_little_text, and the reasons of complexity.py.
    """
    # Sixteen-bit encodings have a zero in each tag; they are rare enough to parse them.
    if b"\0" not in document.html[:64] and not _HEADING.search(document.html):
        raise PageDropError("no_heading", language=document.language)
    language = document.language
    _check_language(language, languages)
    if reason := too_complex(document.html):
        raise PageDropError(reason, language=language)
    html = decode_html(document.html, document.charset)
    # resiliparse's parser takes a page several times faster than it takes to walk a tree here.
    tree = HTMLTree.parse(_without_empty_tags(html))
    if language is None:
        text = str(extract_plain_text(tree, alt_texts=False, list_bullets=False))
        if len(text) < min_chars:
            raise PageDropError("too_little_text")
        language = detect_language(text, prior=language_code(_stated_language(tree)))
        _check_language(language or "unknown", languages)
    if tree.document.query_selector("h1, h2, h3, h4, h5, h6") is None:
        raise PageDropError("no_heading", language=language)
    return Page(document, document.content_hash(), html, tree, language)


def _without_empty_tags(html: str) -> str:
    """Close the empty elements of XHTML, such as <a id="top"/>, which HTML's rules leave open."""
    return _EMPTY_TAG.sub(r"<\1></\2>", html) if "xhtml" in html[:1_000].lower() else html


def _stated_language(tree: HTMLTree) -> str | None:
    root = tree.document.query_selector("html")
    return root.get_attribute("lang") if root is not None else None


def _check_language(language: str | None, wanted: Collection[str] | None) -> None:
    if language is not None and wanted is not None and language not in wanted:
        raise PageDropError("language", language=language)
