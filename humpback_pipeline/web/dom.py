"""A page's text to an lxml tree without scripts, comments and characters that XML refuses."""

from __future__ import annotations

import re
from typing import Final

import lxml.html
from lxml import etree

from humpback_pipeline.web.markers import MARKER_SYMBOL_BYTES

_NO_CONTENT_TAGS: Final = ("script", "style", "noscript", "template", "svg", "iframe", "object")
# XML 1.0 refuses these; one of them in a text node would make lxml raise later on.
_BLANKED: Final = bytes.maketrans(
    _CONTROLS := bytes([*range(9), 11, 12, *range(14, 32), 127]), b" " * len(_CONTROLS)
)
_NONCHARACTERS: Final = re.compile(rb"\xef\xbf[\xbe\xbf]")
_MARKER_SYMBOLS: Final = re.compile(MARKER_SYMBOL_BYTES)
# The same symbols written as character references: U+1D800 to U+1D9FF, 120832 to 121343.
_MARKER_REFERENCES: Final = re.compile(
    rb"&#(?:[xX]0*1[dD][89][0-9a-fA-F]{2}|"
    rb"0*12(?:08(?:3[2-9]|[4-9]\d)|09\d\d|1[0-2]\d\d|13(?:[0-3]\d|4[0-3])));?"
)


def parse_html(text: str) -> lxml.html.HtmlElement | None:
    """Parse a page and remove what never is content; None when nothing parses.

    The symbols of which markers are made (markers.py) are taken out of the page itself.
    """
    data = text.encode("utf-8", "replace").translate(_BLANKED)
    data = _MARKER_SYMBOLS.sub(b"", _NONCHARACTERS.sub(b" ", data))
    data = _MARKER_REFERENCES.sub(b"", data)
    try:
        tree: lxml.html.HtmlElement | None = etree.fromstring(data, _new_parser())
    except (etree.LxmlError, ValueError, AssertionError):
        return None
    if tree is None or not isinstance(tree.tag, str):
        return None
    # Some scripts hold whole articles as JSON: without them the extractor sees the page alone.
    etree.strip_elements(tree, *_NO_CONTENT_TAGS, with_tail=False)
    return tree


def _new_parser() -> etree.HTMLParser:
    parser = etree.HTMLParser(encoding="utf-8", remove_comments=True, remove_pis=True)
    # lxml.html's own parser asks Python for the class of every element; one class serves here.
    parser.set_element_class_lookup(etree.ElementDefaultClassLookup(element=lxml.html.HtmlElement))
    return parser
