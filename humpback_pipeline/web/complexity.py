"""Pages built to cost: found by their bytes, before a parser meets them.

Parsers take time by the square of how deep elements nest, of how many attributes one has and of how
many options a <select> has, in native code, which no time limit of this process interrupts.
"""

from __future__ import annotations

import re
from typing import Final

MAX_TAGS: Final = 200_000
MAX_DEPTH: Final = 1_000
MAX_ATTRIBUTES: Final = 500
# Over all tags of a page, the sum of the depths that they stand at; 5 million take 2 s.
MAX_TOTAL_DEPTH: Final = 5_000_000
# The parser takes time by the square of them: 20,000 take 1 s.
MAX_OPTIONS: Final = 20_000
# Pages of fewer tags are not worth a look at how deep they nest.
_FEW_TAGS: Final = 5 * MAX_DEPTH
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
# Those that a page may leave open without nesting (a, p, li, td …) are no sign of depth.
_NESTING_TAG: Final = re.compile(
    rb"<(/?)(abbr|article|aside|b|big|blockquote|center|code|dir|div|dl|em|fieldset|figure|font|"
    rb"footer|form|header|i|ins|kbd|label|main|nav|object|ol|pre|q|s|section|small|span|strike|"
    rb"strong|sub|sup|svg|table|tt|u|ul|var)(?=[\s/>])(?:%s)*+" % _ATTRIBUTE,
    re.IGNORECASE,
)
_OPTION: Final = re.compile(rb"<option\b", re.IGNORECASE)
_COMMENT: Final = re.compile(rb"<!--.*?-->", re.DOTALL)
# Those that page.py closes in XHTML.
_EMPTY_TAG: Final = re.compile(rb"<(?:b|code|div|em|i|span|strong|ul)\b[^<>]*/>")


def too_complex(html: bytes) -> str | None:
    """Return too_many_tags, too_many_attributes or too_deep for a page that no one wrote, or None.

    The limits lie an order of magnitude above what real pages hold.
    """
    n_tags = html.count(b"<")
    if n_tags > MAX_TAGS or (n_tags > MAX_OPTIONS and len(_OPTION.findall(html)) > MAX_OPTIONS):
        return "too_many_tags"
    if _has_many_attributes(html):
        return "too_many_attributes"
    return "too_deep" if n_tags > _FEW_TAGS and _is_deep(html) else None


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


def _is_deep(html: bytes) -> bool:
    """Whether elements nest beyond a limit, by their tags alone: a bound, not a parse."""
    # Up to the last end of a comment, as looking for one that is missing takes time by the square.
    end = html.rfind(b"-->") + 3 if b"-->" in html else 0
    html = _COMMENT.sub(b"", html[:end]) + html[end:]
    if b"xhtml" in html[:1_000].lower():
        html = _EMPTY_TAG.sub(b"", html)
    n_open: dict[bytes, int] = {}
    depth = total = position = 0
    for tag in _NESTING_TAG.finditer(html):
        total += depth * html.count(b"<", position, tag.start())
        position = tag.start()
        if depth > MAX_DEPTH or total > MAX_TOTAL_DEPTH:
            return True
        name = tag[2].lower()
        n = n_open.get(name, 0)
        if not tag[1]:
            n_open[name] = n + 1
            depth += 1
        elif n:  # the end of an element that is not open ends none
            n_open[name] = n - 1
            depth -= 1
    total += depth * html.count(b"<", position)
    return depth > MAX_DEPTH or total > MAX_TOTAL_DEPTH
