"""Pages built to cost: found by their bytes, before a parser meets them.

Parsers take time by the square of how deep elements nest and of how many attributes one has, in
native code, which no time limit of this process interrupts.
"""

from __future__ import annotations

import re
from typing import Final

MAX_TAGS: Final = 200_000
MAX_DEPTH: Final = 1_000
MAX_ATTRIBUTES: Final = 500
# Pages of fewer tags are not worth a look at how deep they nest.
_FEW_TAGS: Final = 5 * MAX_DEPTH
# Those that a page may leave open without nesting (p, li, td …) are no sign of depth.
_NESTING_TAG: Final = re.compile(
    rb"<(/?)(?:a|abbr|article|aside|b|big|blockquote|center|code|dir|div|dl|em|fieldset|figure|font|"
    rb"footer|form|header|i|ins|kbd|label|main|nav|object|ol|pre|q|s|section|small|span|strike|"
    rb"strong|sub|sup|svg|table|tt|u|ul|var)[\s/>]",
    re.IGNORECASE,
)
# By HTML's rules: quotes quote a whole value only, "=" may begin a name, and slashes separate.
_ATTRIBUTE: Final = (
    rb"[\s/]*+[^\s/>][^\s/>=]*+(?:\s*+=\s*+(?:\"[^\"]*+\"|'[^']*+'|[^\s>\"'][^\s>]*+)?+)?+"
)
_ATTRIBUTES: Final = re.compile(_ATTRIBUTE)
_MANY_ATTRIBUTES: Final = re.compile(
    rb"<[a-zA-Z][^\s/>]*+(?:%s){%d}" % (_ATTRIBUTE, MAX_ATTRIBUTES + 1)
)
_START: Final = re.compile(rb"<(?:!--|([a-zA-Z][^\s/>]*+)((?:%s)*+))" % _ATTRIBUTE)
_RAW_TEXT_END: Final = {
    name: re.compile(rb"</" + name, re.IGNORECASE)
    for name in (b"script", b"style", b"textarea", b"title")
}


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
    # Program text looks like such a tag at times ("i<n; …"), so a second look tells it apart.
    return bool(_MANY_ATTRIBUTES.search(html)) and _has_tag_of_many_attributes(html)


def _has_tag_of_many_attributes(html: bytes) -> bool:
    """Like _MANY_ATTRIBUTES, in a loop that leaves comments and scripts out; much slower."""
    position = 0
    while start := _START.search(html, position):
        position = start.end()
        if start[1] is None:
            end = html.find(b"-->", position)
            if end < 0:
                return False
            position = end
            continue
        if len(start[2]) > MAX_ATTRIBUTES and _n_attributes(start[2]) > MAX_ATTRIBUTES:
            return True
        if raw_text_end := _RAW_TEXT_END.get(start[1].lower()):
            found = raw_text_end.search(html, position)
            if found is None:
                return False
            position = found.start()
    return False


def _n_attributes(attributes: bytes) -> int:
    return sum(1 for _ in _ATTRIBUTES.finditer(attributes))


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
