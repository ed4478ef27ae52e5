"""Pages built to cost: found by their bytes, before a parser meets them.

Parsers take time by the square of how deep elements nest and of how many attributes one has, in
native code, which no time limit of this process interrupts.
"""

from __future__ import annotations

import re
from typing import Final

MAX_TAGS: Final = 200_000
MAX_DEPTH: Final = 1_000
MAX_ATTRIBUTES: Final = 5_000
# Pages of fewer tags are not worth a look at how deep they nest.
_FEW_TAGS: Final = 5 * MAX_DEPTH
# Those that a page may leave open without nesting (p, li, td …) are no sign of depth.
_NESTING_TAG: Final = re.compile(
    rb"<(/?)(?:a|abbr|article|aside|b|big|blockquote|center|code|dir|div|dl|em|fieldset|figure|font|"
    rb"footer|form|header|i|ins|kbd|label|main|nav|object|ol|pre|q|s|section|small|span|strike|"
    rb"strong|sub|sup|svg|table|tt|u|ul|var)[\s/>]",
    re.IGNORECASE,
)
_QUOTED: Final = re.compile(rb"\"[^\"]*\"|'[^']*'")


def too_complex(html: bytes) -> str | None:
    """Return too_many_tags, too_many_attributes or too_deep for a page that no one wrote, or None.

    The limits lie an order of magnitude above what real pages hold.
    """
    n_tags = html.count(b"<")
    if n_tags > MAX_TAGS:
        return "too_many_tags"
    if _has_many_attributes(html):
        return "too_many_attributes"
    if n_tags > _FEW_TAGS and _depth(html) > MAX_DEPTH:
        return "too_deep"
    return None


def _has_many_attributes(html: bytes) -> bool:
    limit = 2 * MAX_ATTRIBUTES  # an attribute takes two bytes at the least
    start = 0
    while start + limit < len(html):
        # From one ">" to the last one in reach: what lies between them is short enough.
        last = html.rfind(b">", start, start + limit)
        if last >= 0:
            start = last + 1
            continue
        end = html.find(b">", start)
        piece = html[start : end if end >= 0 else len(html)]
        tag = piece[piece.find(b"<") + 1 :]
        n_words = len(_QUOTED.sub(b"", tag).split()) if tag[:1].isalpha() else 0
        if n_words > MAX_ATTRIBUTES and not _is_in_script(html, start):
            return True
        start += len(piece) + 1
    return False


def _is_in_script(html: bytes, position: int) -> bool:
    before = html[:position].lower()
    return any(
        before.rfind(b"<" + tag) > before.rfind(b"</" + tag) for tag in (b"script", b"style")
    )


def _depth(html: bytes) -> int:
    """How deep the page's elements nest at most, by its tags alone; a bound, not a parse."""
    depth = deepest = 0
    for tag in _NESTING_TAG.finditer(html):
        depth += -1 if tag[1] else 1
        if depth > deepest:
            deepest = depth
        elif depth < 0:
            depth = 0
    return deepest
