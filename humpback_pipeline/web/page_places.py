"""Where a page stands in its file, as one number: many pages may share one record offset.

A file of one big gzip member gives all its records the offset of that member.
"""

from __future__ import annotations

from typing import Final

# Between two pages there is no place.
BETWEEN_PAGES: Final = -1
_NTH_BITS: Final = 20


class PagePlaces:
    """Numbers the pages of one pass over a file."""

    def __init__(self) -> None:
        self._offset = -1
        self._nth = 0

    def next(self, record_offset: int) -> int:
        """Give the place of the next page, which stands in the record or member at an offset."""
        self._nth = self._nth + 1 if record_offset == self._offset else 0
        self._offset = record_offset
        return page_place(record_offset, self._nth)


def page_place(record_offset: int, nth: int = 0) -> int:
    """Put a place together: the `nth` page (from 0) of those at a record offset."""
    return record_offset << _NTH_BITS | min(nth, (1 << _NTH_BITS) - 1)


def offset_of(place: int) -> int:
    """Record offset of a place."""
    return place >> _NTH_BITS


def describe_place(place: int) -> str:
    """A place in words: its offset, and which page there if it is not the first."""
    nth = place & ((1 << _NTH_BITS) - 1)
    return f"{offset_of(place)} (page {nth + 1} there)" if nth else str(offset_of(place))
