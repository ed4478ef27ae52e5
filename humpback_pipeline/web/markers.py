"""Markers: numbers written into a page's text, which survive main-content extraction.

An extractor's output then tells exactly which blocks of the page it kept, without matching text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

# Two Sutton SignWriting symbols make a marker: printable and no letters, so extractors neither
# strip them nor take them for words.
_FIRST: Final = 0x1D800
_RADIX: Final = 512
_SYMBOL: Final = f"[{chr(_FIRST)}-{chr(_FIRST + _RADIX - 1)}]"
_SYMBOLS: Final = re.compile(_SYMBOL)
_MARKER: Final = re.compile(_SYMBOL + "{2}")
MAX_MARKERS: Final = _RADIX**2


def remove_marker_symbols(text: str) -> str:
    """Take out the symbols that a page itself may hold, before any marker is put in."""
    return _SYMBOLS.sub("", text)


def mark_text(text: str, number: int) -> str:
    """Put marker `number` (below MAX_MARKERS) before the text's first visible character."""
    high, low = divmod(number, _RADIX)
    start = len(text) - len(text.lstrip())
    return text[:start] + chr(_FIRST + high) + chr(_FIRST + low) + text[start:]


def find_markers(text: str) -> Iterator[int]:
    """Yield the numbers of the markers in extracted text."""
    for match in _MARKER.finditer(text):
        high, low = (ord(symbol) - _FIRST for symbol in match[0])
        yield high * _RADIX + low
