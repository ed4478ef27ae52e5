"""Sections that tease other pages, list links or hold readers' comments: how they look."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from humpback_pipeline.web.blocks import Block
from humpback_pipeline.web.line_patterns import DATE_LINE, TEASER_LEAD, TEASER_LINE
from humpback_pipeline.web.navigation import may_be_navigation_header, plain_line

# A block with more than this share of its characters in links is a link.
_LINKED: Final = 0.85
# Under a heading that is a link to another page, so little text is that page's teaser.
_MAX_TEASER_CHARS: Final = 450
# A section "Comments" with less than this of sentences is no chapter on comments.
_MIN_PROSE_CHARS: Final = 300
_MAX_LABEL_CHARS: Final = 80
FENCE: Final = ("```", "|")
_OPEN_ENDS: Final = ("…", "...", "[…]", "[...]", "….")
# Readers' comments: "Anna says:", "Reply", "3 days ago".
_READER: Final = re.compile(
    r"^(?:reply|antworten|répondre|responder|report|melden)\b.{0,30}$|"
    r"\b(?:says|said|schreibt|schrieb|sagt|meint|dit|dice) ?:? ?(?:am .{5,30}|on .{5,30})?:?$|"
    r"\b(?:ago|vor \d+ (?:stunden|tagen|monaten|jahren))$",
    re.IGNORECASE,
)
_PARAGRAPH_SKIP: Final = re.compile(r"^\s*(?:#|>|\||[-*] |\d+\. |```)")
_MARKER: Final = re.compile(
    r"\b(?:\d+ (?:minutes?|hours?|days?) ago|vor \d+ (?:minuten?|stunden?|tagen?)|quick view|"
    r"read more|mehr lesen|add to cart|jetzt kaufen|log ?in|reply|antworten|zzgl|inkl\. mwst|"
    r"versandkosten|reactions?|\d+ comments?)\b|[€$£] ?\d|\d ?[€$£]|^x?\d+$",
    re.IGNORECASE,
)


def without_teaser_sections(blocks: Sequence[Block], phrases: tuple[str, ...]) -> Iterator[Block]:
    """Leave out sections that tease another page under its linked title, and menus."""
    sections = list(_split(blocks))
    teases = [_teases(section) for section in sections]
    # Some sites link every heading, the page's title too; manuals, to the table of contents.
    title = next((section[0] for section in sections if section[0].level), None)
    is_style = title is not None and is_linked(title)
    for number, section in enumerate(sections):
        heading = section[0]
        if heading.level and (
            may_be_navigation_header(heading.text, phrases) or _announces_teasers(heading.text)
        ):
            below = sections[number + 1][0] if number + 1 < len(sections) else None
            is_chapter = below is not None and below.level > heading.level
            if _is_running_text(section[1:], 0 if is_chapter else _MIN_PROSE_CHARS):
                yield from section
            continue
        alone = not any(teases[number - 1 : number] + teases[number + 1 : number + 2])
        sure = _ends_open(section) or not (alone or is_style)
        if not (teases[number] and number and sure):
            yield from section


def _announces_teasers(header: str) -> bool:
    # A single word may well be a title: a manual's page on the command "Related".
    return " " in header and bool(TEASER_LEAD.fullmatch(header))


def _is_running_text(blocks: list[Block], min_chars: int) -> bool:
    """Whether most of a section is sentences or code, and nobody "says" them or may reply."""
    prose = 0
    for block in blocks:
        line = plain_line(block.text)
        if block.text.startswith("```"):
            prose += block.chars
        elif DATE_LINE.fullmatch(line) or _READER.search(line):
            return False
        elif 3 * block.link_chars <= block.chars and line.endswith((".", "!", "?", ":", "。")):
            prose += block.chars if not block.containers else block.chars // 2
    # With no text of its own it heads lower headings, which are judged by themselves.
    return not blocks or prose >= max(min_chars, sum(b.chars for b in blocks) / 2)


def _split(blocks: Sequence[Block]) -> Iterator[list[Block]]:
    section: list[Block] = []
    for block in blocks:
        if block.level and section:
            yield section
            section = []
        section.append(block)
    if section:
        yield section


def _teases(section: list[Block]) -> bool:
    heading = section[0]
    if not heading.level or not is_linked(heading):
        return False
    if any(block.text.startswith(FENCE) for block in section):
        return False
    if sum(block.chars for block in section[1:]) > _MAX_TEASER_CHARS:
        return False
    if heading.element is None:  # reduced HTML counts no links within the page
        return True
    links = [*heading.element.iter("a"), *heading.element.iterancestors("a")]
    return any(not (link.get("href") or "#").startswith("#") for link in links)


def _ends_open(section: list[Block]) -> bool:
    text = section[-1].text.rstrip("*_ ")
    return text.endswith(_OPEN_ENDS) or bool(
        TEASER_LINE.fullmatch(plain_line(text)) or TEASER_LEAD.fullmatch(plain_line(text))
    )


def without_empty_sections(blocks: list[Block]) -> list[Block]:
    """Leave out headings over which nothing is left."""
    kept: list[Block] = []
    below: int | None = None  # level of the nearest heading kept below; 0 stands for text
    for block in reversed(blocks):
        if not block.level or below == 0 or (below is not None and block.level < below):
            kept.append(block)
            below = block.level
    kept.reverse()
    return kept


def is_linked(block: Block) -> bool:
    """Tell whether all of a block is in links."""
    return block.link_chars >= _LINKED * max(1, block.chars)


def is_title(line: str, max_chars: int = 130) -> bool:
    """Tell whether a line is short and no sentence."""
    return len(line) <= max_chars and not line.endswith((".", "!", ":", ";", ",", "。"))


def is_mostly_boilerplate(text: str) -> bool:
    """Tell whether a segment's text is mainly teasers, offers or labels of a page's controls."""
    inside_code = False
    lines: list[str] = []
    for line in text.split("\n"):
        inside_code ^= line.lstrip().startswith("```")
        if line.strip() and not inside_code and not _PARAGRAPH_SKIP.match(line):
            lines.append(plain_line(line))
    if not lines:
        return False
    n_open = sum(line.endswith(_OPEN_ENDS) for line in lines)
    if n_open >= 3 and n_open >= 0.4 * len(lines):
        return True
    n_labels = sum(is_title(line, _MAX_LABEL_CHARS) for line in lines)
    if n_labels < max(6, 0.6 * len(lines)):
        return False
    n_marked = sum(bool(_MARKER.search(line)) for line in lines)
    return n_marked >= max(3, 0.2 * len(lines))
