"""Teasers, bylines, credits and promotions among a page's blocks: known by links and by place."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import lxml.html

from humpback_pipeline.web.blocks import Block
from humpback_pipeline.web.line_patterns import (
    BYLINE,
    CALL_TO_ACTION,
    CLICK_HERE,
    CREDIT,
    DATE_LINE,
    POINTER_LINE,
    PROMOTION_LINE,
    SEQUEL_LINE,
    TEASER_LEAD,
    TEASER_LINE,
)
from humpback_pipeline.web.navigation import (
    is_boilerplate_wording,
    matches_boilerplate,
    plain_line,
)
from humpback_pipeline.web.teaser_sections import (
    FENCE,
    is_linked,
    is_title,
    without_empty_sections,
    without_teaser_sections,
)

# A block with so much of it in links may be a teaser, if it is worded like one.
_PARTLY_LINKED: Final = 0.4
_MAX_TITLE_CHARS: Final = 220
_MAX_META_CHARS: Final = 130
_MAX_TERM_CHARS: Final = 40
_CELLS: Final = frozenset({"td", "th", "dt", "dd", "table", "pre"})
_BOLD_LEAD: Final = re.compile(r"\*\*[^*\n]{3,40}:\*\* *(\S.*)", re.DOTALL)
# "Secret of an island?Monday, 6 January 2020" and "Title by Ann Lee May 3, 2021".
_FUSED_DATE: Final = re.compile(
    r"(?:(?<=[a-zà-þ?!.])(?:mon|tues|wednes|thurs|fri|satur|sun)day, \d{1,2} \w+ \d{4}|"
    r" by (?:[A-Z][\w.'’-]+ ){1,3}[A-Z][a-z]{2,8}\.? \d{1,2}, \d{4})$",
    re.IGNORECASE,
)


def drop_teasers(blocks: Sequence[Block], phrases: tuple[str, ...]) -> list[Block]:
    """Return the main content without what is no part of its text, in order.

    Dropped are footer and promotion lines (navigation.py), bylines, dates and picture credits that
    make a block of their own, paragraphs and lists that are nothing but links (unless a sentence
    with a colon announces them), and sections that tease other pages. phrases: navigation headers.
    """
    blocks = list(without_teaser_sections(blocks, phrases))
    link_lists = _link_lists(blocks)
    kept: list[Block] = []
    after_lead = False
    for block in blocks:
        if block.level:
            after_lead = False
            teases = is_linked(block) and TEASER_LINE.fullmatch(block.text)
            if not (teases or PROMOTION_LINE.matches(block.text)):
                kept.append(_without_byline(block))
        elif block.text.startswith(FENCE):
            after_lead = False
            kept.append(block)
        else:
            line = plain_line(block.text)
            after_lead, drop = _judge(block, line, kept, after_lead, link_lists)
            if not drop and not (
                _may_be_label(block, line) and is_boilerplate_wording(line, phrases)
            ):
                shorter = _without_boilerplate_lines(block)
                if shorter is not None:
                    kept.append(shorter)
    return without_empty_sections(kept)


def _judge(
    block: Block,
    line: str,
    kept: list[Block],
    after_lead: bool,
    link_lists: set[lxml.html.HtmlElement],
) -> tuple[bool, bool]:
    """Whether what follows stands after a teaser's announcement, and whether to drop the block."""
    linked = is_linked(block)
    is_item = bool(block.containers)
    if (
        len(line) <= _MAX_META_CHARS
        and (linked or not is_item or len(line.split()) > 1)
        and _tag(block) not in _CELLS
        and TEASER_LEAD.fullmatch(line)
    ):
        return True, True
    if after_lead and (linked or is_title(line)):
        return True, True
    if block.containers and block.containers[-1].list_element in link_lists:
        return False, True
    if block.link_chars >= _PARTLY_LINKED * max(1, block.chars):
        if TEASER_LINE.fullmatch(line) or _is_bold_teaser(block):
            return True, True
        if SEQUEL_LINE.fullmatch(line):
            return False, True
    if linked and not block.containers and _is_link_title(block, line):
        return False, not (_announced(kept) or _defines(block, kept))
    return False, _is_meta(block, line)


def _tag(block: Block) -> str:
    return "" if block.element is None else str(block.element.tag)


def _may_be_label(block: Block, line: str) -> bool:
    """Whether short words can be a page's control; in a list or table they are its terms."""
    if _tag(block) in _CELLS:
        return False
    return not block.containers or len(line.split()) > 2 or block.link_chars == block.chars


def _is_link_title(block: Block, line: str) -> bool:
    return (
        len(line) <= _MAX_TITLE_CHARS
        and "`" not in line
        and "://" not in line
        and not line.endswith((":", "."))
        and _tag(block) not in _CELLS
    )


def _is_bold_teaser(block: Block) -> bool:
    """A bold phrase with a whole headline that is linked: "**More on prisons:** Guards …"."""
    match = _BOLD_LEAD.fullmatch(block.text)
    if match is None:
        return False
    return len(match[1].split()) >= 5 and len(match[1]) <= block.link_chars * 1.2


def _announced(kept: list[Block]) -> bool:
    """Whether the sentence before ends in a colon, and so means what follows."""
    return bool(kept) and not kept[-1].level and kept[-1].text.rstrip("*_ ").endswith(":")


def _defines(block: Block, kept: list[Block]) -> bool:
    """Whether a linked block stands under a term; reduced HTML has no tags for either."""
    if block.element is not None or not kept or kept[-1].level or kept[-1].containers:
        return False
    return not is_linked(kept[-1]) and len(kept[-1].text) <= _MAX_TERM_CHARS


def _is_meta(block: Block, line: str) -> bool:
    """A block that is only a date, a byline or a picture credit."""
    if len(line) > _MAX_META_CHARS or _tag(block) in _CELLS or "`" in line:
        return False
    if _is_call(block, line) or DATE_LINE.fullmatch(line):
        return True
    if line.endswith((".", "!", "?")):
        return False
    if BYLINE.fullmatch(line):
        return True
    # A list's item is no credit: "Connect to the AP", "example.com".
    return not block.containers and bool(CREDIT.fullmatch(line))


def _is_call(block: Block, line: str) -> bool:
    if not block.link_chars:
        return False
    emphasised = block.text.startswith("*") and block.text.endswith("*")
    pattern = CALL_TO_ACTION if emphasised else CLICK_HERE
    return bool(pattern.fullmatch(line))


def _link_lists(blocks: Sequence[Block]) -> set[lxml.html.HtmlElement]:
    """Lists of nothing but links that no sentence announces."""
    items: dict[lxml.html.HtmlElement, list[Block]] = defaultdict(list)
    before: dict[lxml.html.HtmlElement, list[Block]] = {}
    for index, block in enumerate(blocks):
        owner = block.containers[-1].list_element if block.containers else None
        # Blocks of reduced HTML know the lists apart, but have no element.
        if owner is not None and getattr(owner, "tag", "ul") in ("ul", "ol"):
            before.setdefault(owner, list(blocks[max(0, index - 1) : index]))
            items[owner].append(block)
    return {
        owner
        for owner, found in items.items()
        if all(is_linked(b) and "`" not in b.text for b in found) and not _announced(before[owner])
    }


def _without_boilerplate_lines(block: Block) -> Block | None:
    """The block without those of its lines that are boilerplate by themselves."""
    if "\n" not in block.text:
        return block
    lines = block.text.split("\n")
    kept: list[str] = []
    for text in lines:
        line = plain_line(text)
        if TEASER_LEAD.fullmatch(line) and block.link_chars >= _PARTLY_LINKED * block.chars:
            break  # and what follows it
        if not (line and (_is_boilerplate_part(line) or _is_meta(block, line))):
            kept.append(text)
    if len(kept) == len(lines):
        return block
    text = "\n".join(kept).strip()
    return replace(block, text=text) if text else None


def _is_boilerplate_part(line: str) -> bool:
    return bool(POINTER_LINE.fullmatch(line)) or (
        len(line.split()) > 1 and matches_boilerplate(line)
    )


def _without_byline(heading: Block) -> Block:
    """The heading without a byline or date that a page's template fused with it."""
    text = _FUSED_DATE.sub("", heading.text).rstrip()
    return replace(heading, text=text) if text and text != heading.text else heading
