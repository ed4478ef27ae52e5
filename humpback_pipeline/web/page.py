"""A document screened and parsed: cheap tests first, as most pages of a crawl end at one."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from humpback_pipeline.text.language import detect_language, language_code
from humpback_pipeline.web.charset import decode_html
from humpback_pipeline.web.complexity import too_complex
from humpback_pipeline.web.page_text import paragraph_text, stated_language
from humpback_pipeline.web.records import Document

_HEADING: Final = re.compile(rb"<[hH][1-6][\s>]")
_SAMPLE_CHARS: Final = 1_000
_EMPTY_TAG: Final = re.compile(
    r"<((a|b|code|div|em|i|iframe|li|p|script|span|strong|td|textarea|title|ul)\b[^<>]*)/>"
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


@dataclass(frozen=True)
class Page:
    """A page that may give segments: its text, and its language.

    language: what the corpus states, else what its paragraphs are most likely in.
    """

    document: Document
    html: str
    language: str | None

    @cached_property
    def document_hash(self) -> str:
        """Hash of the page's bytes."""
        return self.document.content_hash()

    @cached_property
    def tree(self) -> HTMLTree:
        """The page as resiliparse parses it, by HTML's rules."""
        return HTMLTree.parse(_without_empty_tags(self.html))


def open_page(
    document: Document, languages: Collection[str] | None = None, min_chars: int = 0
) -> Page:
    """Screen and decode a document, the cheapest tests first.

    languages: two-letter codes wanted, None for all; `min_chars` of visible text are needed. Raises
    PageDropError: no_heading, language, too_little_text, and the reasons of complexity.py.
    """
    # Sixteen-bit encodings have a zero in each letter of a tag: they are decoded first.
    is_wide = b"\0" in document.html[:64]
    if not is_wide and not _HEADING.search(document.html):
        raise PageDropError("no_heading", language=document.language)
    _check_language(document.language, languages)
    html = decode_html(document.html, document.charset)
    text = paragraph_text(html) if document.language is None else ""
    language = document.language
    if len(text) >= _SAMPLE_CHARS:
        language = detect_language(text, prior=language_code(stated_language(html)))
        _check_language(language or "unknown", languages)
    # Only now, as nothing before takes longer on a hostile page than on any other.
    if reason := too_complex(html.encode("utf-8", "replace") if is_wide else document.html):
        raise PageDropError(reason, language=language)
    page = Page(document, html, language)
    if language is not None:
        return page
    text = str(extract_plain_text(page.tree, alt_texts=False, list_bullets=False))
    if len(text) < min_chars:
        raise PageDropError("too_little_text")
    language = detect_language(text, prior=language_code(stated_language(html)))
    _check_language(language or "unknown", languages)
    return replace(page, language=language)


def _without_empty_tags(html: str) -> str:
    """Close the empty elements of XHTML, such as <a id="top"/>, which HTML's rules leave open."""
    return _EMPTY_TAG.sub(r"<\1></\2>", html) if "xhtml" in html[:1_000].lower() else html


def _check_language(language: str | None, wanted: Collection[str] | None) -> None:
    if language is not None and wanted is not None and language not in wanted:
        raise PageDropError("language", language=language)
