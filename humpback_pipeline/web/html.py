"""Text to a parsed page: an lxml tree without scripts and comments."""

from __future__ import annotations

import re
from typing import Final

import lxml.html
from lxml import etree

from humpback_pipeline.web.charset import decode_html

__all__ = ["decode_html", "parse_html"]

_NO_CONTENT_TAGS: Final = ("script", "style", "noscript", "template", "svg", "iframe", "object")
# XML 1.0 refuses these; one of them in a text node would make lxml raise later on.
_CONTROL_CHARACTERS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


def parse_html(text: str) -> lxml.html.HtmlElement | None:
    """Parse a page and remove what never is content; None when nothing parses."""
    cleaned = _CONTROL_CHARACTERS.sub(" ", text)
    parser = lxml.html.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    try:
        tree = lxml.html.document_fromstring(cleaned.encode("utf-8", "replace"), parser=parser)
    except (etree.LxmlError, ValueError, AssertionError):
        return None
    # Some scripts hold whole articles as JSON: without them the extractor sees the page alone.
    etree.strip_elements(tree, *_NO_CONTENT_TAGS, with_tail=False)
    return tree
