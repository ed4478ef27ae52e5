"""Main content by trafilatura's judgement, its losses made good from the page's own tree.

trafilatura decides on text; its output loses headings and, here and there, a table or a code block
in mid-section. Which blocks it kept is told by markers; the lost ones are recovered from the page.
"""

from __future__ import annotations

import logging
import re
from itertools import pairwise
from typing import Final

import lxml.html

from humpback_pipeline.web.blocks import Block, collect_blocks
from humpback_pipeline.web.boilerplate import BoilerplateTest, is_site_name
from humpback_pipeline.web.dom import parse_html
from humpback_pipeline.web.markers import find_markers

# trafilatura logs an error for every page without main content; here that is a counted drop.
logging.getLogger("trafilatura").setLevel(logging.CRITICAL)

# The article is the innermost element with this share of the kept text; where the extractor kept
# this share of the article's prose, it meant to keep it all.
_ARTICLE_SHARE: Final = 0.85
_WHOLE_SHARE: Final = 0.7
# How far above the two ends of a gap the element may be that holds both: a section over a list
# over an item over a note over a paragraph.
_NEAR_LEVELS: Final = 4
# A lost paragraph this linked is navigation.
_MAX_LINK_DENSITY: Final = 0.5
_TEASER: Final = re.compile(
    r"(?:read|see|related|more|also|recommended|follow|share|watch|tags?|filed|topics?|sources?)\b",
    re.IGNORECASE,
)
# Text that the extractor refused, between a heading and the first block it kept: a byline or a
# date is usual, more than that means that the heading heads something else.
_MAX_REFUSED_CHARS: Final = 250


def recovered_content(html: str, url: str) -> list[Block]:
    """Return a page's main content: its kept text blocks and the headings over them, in order.

    Raises whatever trafilatura raises on a page that it cannot handle.
    """
    tree = parse_html(html)
    if tree is None:
        return []
    blocks = collect_blocks(tree)
    found = frozenset(find_markers(_trafilatura_text(tree, url)))
    for block in blocks:
        hits = sum(number in found for number in block.marker_ids)
        block.kept = bool(hits) and 2 * hits >= len(block.marker_ids)
    boilerplate = BoilerplateTest(blocks)
    for block in blocks:
        block.kept = block.kept and not boilerplate(block)
    _fill_holes(blocks, boilerplate)
    _recover_headings(blocks, boilerplate)
    return [block for block in blocks if block.kept]


def _trafilatura_text(tree: lxml.html.HtmlElement, url: str) -> str:
    # Imported here: it takes a second, which users of the records alone need not wait.
    from trafilatura import bare_extraction

    # Fast: without its comparison with two other extractors, which takes as long again.
    found = bare_extraction(tree, url=url, fast=True, include_comments=False, output_format="txt")
    body = getattr(found, "body", None)
    return "" if body is None else "".join(body.itertext())


def _fill_holes(blocks: list[Block], boilerplate: BoilerplateTest) -> None:
    """Keep what the extractor refused in the midst of what it kept.

    That is a gap between two kept blocks of one section, and, where it kept most of the element
    that holds the article (documentation, mostly), the end of a section whose start was kept.
    """
    article = _whole_article(blocks, boilerplate)
    kept = [index for index, block in enumerate(blocks) if block.kept and not block.level]
    following = dict(pairwise(kept))
    last: int | None = None
    for index, block in enumerate(blocks):
        if index in following or (kept and index == kept[-1]):
            last = index
            continue
        if block.level:
            last = None  # a section of which nothing was kept stays out
        if last is None or not boilerplate.may_fill(block):
            continue
        linked = block.link_chars > _MAX_LINK_DENSITY * max(1, block.chars)
        if linked and not _announces_list(blocks[last]):
            continue
        after = following.get(last)
        in_gap = after is not None and _is_one_section(blocks[last : after + 1])
        block.kept = in_gap or (
            article is not None and not linked and article in block.element.iterancestors()
        )


def _whole_article(
    blocks: list[Block], boilerplate: BoilerplateTest
) -> lxml.html.HtmlElement | None:
    """The element that holds the article, if the extractor kept most of its prose."""
    article = boilerplate.innermost(_ARTICLE_SHARE)
    if article is None:
        return None
    kept = refused = 0
    for block in blocks:
        if block.level or article not in block.element.iterancestors() or boilerplate(block):
            continue
        if block.kept:
            kept += block.chars
        elif 2 * block.link_chars <= block.chars:
            refused += block.chars
    return article if kept >= _WHOLE_SHARE * (kept + refused) else None


def _announces_list(block: Block) -> bool:
    """Whether a paragraph such as "New modules:" would be left hanging without what follows."""
    return block.text.endswith(":") and not _TEASER.match(block.text.strip("*_ "))


def _is_one_section(span: list[Block]) -> bool:
    """No heading stands in the span, and one element near both of its ends holds it."""
    if any(block.level for block in span):
        return False
    near = list(span[0].element.iterancestors())[:_NEAR_LEVELS]
    return any(element in near for element in list(span[-1].element.iterancestors())[:_NEAR_LEVELS])


def _recover_headings(blocks: list[Block], boilerplate: BoilerplateTest) -> None:
    """Keep every heading over kept text; from the last to the first, as headings head headings."""
    refused_chars = 0
    level_below: int | None = None  # of the nearest kept heading below; 0 stands for kept text
    title_seen = False
    for block in reversed(blocks):
        if not block.level:
            if block.kept:
                refused_chars, level_below = 0, 0
            else:
                refused_chars += block.chars
            continue
        is_title = block.level == 1 and not title_seen and not is_site_name(block)
        heads = level_below is not None and (level_below == 0 or block.level < level_below)
        # The title may stand far above the text, in a page header with bylines and share bars.
        placed = is_title or (refused_chars <= _MAX_REFUSED_CHARS and not boilerplate(block))
        block.kept = bool(heads and placed and block.text)
        if block.kept:
            refused_chars, level_below = 0, block.level
            title_seen = title_seen or is_title
