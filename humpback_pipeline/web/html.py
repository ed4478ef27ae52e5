"""Bytes to a parsed page: character decoding and an lxml tree without scripts and comments."""

from __future__ import annotations

import codecs
import re
from typing import Final

import lxml.html
from lxml import etree
from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_BYTE_ORDER_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_META_CHARSET: Final = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w.:-]+)", re.I)
_NO_CONTENT_TAGS: Final = ("script", "style", "noscript", "template", "svg", "iframe", "object")
# XML 1.0 refuses these; one of them in a text node would make lxml raise later on.
_CONTROL_CHARACTERS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff]")


def decode_html(html: bytes, charset: str | None = None) -> str:
    """Decode a page: byte order mark, else UTF-8 if valid, else stated charset, else detected.

    UTF-8 comes before what the page states because text of another encoding is almost never
    valid UTF-8, whereas statements are often wrong. Never raises: bad bytes become U+FFFD.
    """
    for mark, encoding in _BYTE_ORDER_MARKS:
        if html.startswith(mark):
            return html.decode(encoding, "replace")
    try:
        return html.decode("utf-8")
    except UnicodeDecodeError:
        pass
    meta = _META_CHARSET.search(html[:4096])
    for stated in (charset, meta[1].decode("ascii") if meta else None):
        # HTML's own names: a page that says ISO-8859-1 is read as windows-1252 by browsers.
        name = map_encoding_to_html5(stated, False) if stated else None
        if name and name.lower() != "utf-8":
            return html.decode(name, "replace")
    return html.decode(detect_encoding(html[:65_536]) or "windows-1252", "replace")


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
