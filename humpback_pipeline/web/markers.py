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
_RADIX: Final = 496
_SYMBOL: Final = f"[{chr(_FIRST)}-{chr(_FIRST + _RADIX - 1)}]"
# The same symbols in UTF-8, for taking them out of a page that holds them itself.
MARKER_SYMBOL_BYTES: Final = rb"\xf0\x9d[\xa0-\xa7][\x80-\xbf]"
_MARKER: Final = re.compile(_SYMBOL + "{2}")
MAX_MARKERS: Final = _RADIX**2
# Single symbols of the same script, for other uses in the text of a page.
SIGNS: Final = tuple(chr(0x1D9F0 + n) for n in range(16))


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
