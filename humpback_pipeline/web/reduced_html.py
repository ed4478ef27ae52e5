"""resiliparse's reduced HTML, and the signs written into it beforehand, read into blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Final

from humpback_pipeline.web.blocks import Block, Container
from humpback_pipeline.web.elements import PERMALINK, table_markdown
from humpback_pipeline.web.markers import SIGNS

# What stands in the text of a page for what reduced HTML has no tag for.
CODE, QUOTE, UNQUOTE, TABLE, UNTABLE, ROW, CELL, BULLETS, LABEL, START = SIGNS[:10]
_CODE_SPAN: Final = re.compile(f"{CODE}([^{CODE}]*){CODE}")
_START: Final = re.compile(f"{START}([0-9]+){START}")
# Signs, the symbols of markers that the page holds itself, and what XML and terminals refuse.
_REFUSED: Final = re.compile(
    "[\U0001d800-\U0001d9ff\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]"
)
_TAG: Final = re.compile(r"<(/?)(h[1-6]|pre|p|ul|ol|li|br|a)(\s[^>]*)?>")
_TO_OTHER_PAGE: Final = re.compile(r"""\shref=["']?[^"'#]""")
_STRUCTURE: Final = re.compile(f"([{QUOTE}{UNQUOTE}{TABLE}{UNTABLE}{ROW}{CELL}])")
_STRUCTURE_SIGNS: Final = (QUOTE, UNQUOTE, TABLE, UNTABLE, ROW, CELL)
_TICKS: Final = re.compile("`{3,}")


def read_reduced_html(reduced: str) -> list[Block]:
    """Read reduced HTML into headings and text blocks, in order."""
    return _Reader().read(reduced)


def _code_span(match: re.Match[str]) -> str:
    code = match[1].strip()
    return f"`{code}`" if code and "`" not in code else match[1]


@dataclass(slots=True)
class _List:
    is_ordered: bool
    identity: object
    n_items: int = 0


class _Reader:
    def __init__(self) -> None:
        self._blocks: list[Block] = []
        self._n_containers = 0
        self._lists: list[_List] = []
        self._containers: list[Container] = []
        self._pieces: list[str] = []
        self._link_chars = 0
        self._in_link = self._in_pre = self._in_paragraph = False
        self._level = 0
        self._rows: list[list[str]] | None = None

    def read(self, reduced: str) -> list[Block]:
        position = 0
        for tag in _TAG.finditer(reduced):
            if tag.start() > position:
                self._text(reduced[position : tag.start()])
            position = tag.end()
            self._tag(tag[2], bool(tag[1]), tag[3] or "")
        self._text(reduced[position:])
        self._end_table()
        self._flush()
        return self._blocks

    def _tag(self, name: str, is_end: bool, attributes: str) -> None:
        if name == "a":
            # An anchor is no link, and a heading that links to itself teases no other page.
            is_link = _TO_OTHER_PAGE.search(attributes) if self._level else "href" in attributes
            self._in_link = bool(is_link) and not is_end
        elif name == "br":
            self._pieces.append("\n")
        elif self._rows is not None and name == "p":
            self._pieces.append(" ")
        else:
            self._end_table()
            self._flush()
            self._in_link = False  # links do not span blocks, but not all of them are closed
            self._block_tag(name, is_end)

    def _block_tag(self, name: str, is_end: bool) -> None:
        self._in_pre = name == "pre" and not is_end  # an empty one is never closed
        if name == "pre":
            pass
        elif name == "p":
            self._in_paragraph = not is_end
        elif name in ("ul", "ol"):
            if not is_end:
                self._lists.append(_List(name == "ol", object()))
            elif self._lists:
                self._end_item(self._lists.pop())
        elif name == "li":
            self._item(is_end)
        else:
            self._level = 0 if is_end else int(name[1])

    def _item(self, is_end: bool) -> None:
        if is_end:
            while self._containers and self._containers.pop().list_element is None:
                pass  # a quote that was not closed in its item
            return
        if not self._lists:
            self._lists.append(_List(False, object()))
        items = self._lists[-1]
        self._end_item(items)
        items.n_items += 1
        sign = f"{items.n_items}. " if items.is_ordered else "- "
        self._open(Container(self._n_containers, sign, " " * len(sign), items.identity))

    def _end_item(self, items: _List) -> None:
        """End the list's open item, as empty ones are never closed."""
        for index, container in enumerate(self._containers):
            if container.list_element is items.identity:
                del self._containers[index:]
                return

    def _open(self, container: Container) -> None:
        self._n_containers += 1
        self._containers.append(container)

    def _text(self, text: str) -> None:
        if self._in_pre:
            self._pieces.append(text)
            return
        # Most text is one piece of one block. A sign is not even looked for where the letters of
        # the whole text are of smaller code points.
        if (self._in_paragraph or "\n" not in text) and not any(
            map(text.__contains__, _STRUCTURE_SIGNS)
        ):
            self._pieces.append(text)
            if self._in_link:
                self._link_chars += len(text.strip())
            return
        # Outside a paragraph, each line is a block of its own.
        lines = [text] if self._in_paragraph else text.split("\n")
        for number, line in enumerate(lines):
            if number and line.strip() and self._rows is None:
                self._flush()
            for piece in _STRUCTURE.split(line):
                if piece and _STRUCTURE.match(piece):
                    self._structure(piece)
                elif piece:
                    self._pieces.append(piece)
                    if self._in_link:
                        self._link_chars += len(piece.strip())

    def _structure(self, sign: str) -> None:
        if sign in (ROW, CELL, UNTABLE) and self._rows is None:
            return
        if sign in (QUOTE, UNQUOTE, TABLE):
            self._end_table()
            self._flush()
        if sign == QUOTE:
            self._open(Container(self._n_containers, "> ", "> "))
        elif sign == UNQUOTE:
            if self._containers and self._containers[-1].list_element is None:
                self._containers.pop()
        elif sign == TABLE:
            self._rows = []
        elif sign == UNTABLE:
            self._end_table()
        else:
            self._end_cell()
            if self._rows is not None:
                if sign == ROW:
                    self._rows.append([])
                elif self._rows:
                    self._rows[-1].append("")

    def _end_cell(self) -> None:
        text = self._take().replace("\n", " ").replace("|", "\\|")
        if self._rows and self._rows[-1] and text:
            self._rows[-1][-1] = text

    def _end_table(self) -> None:
        if self._rows is None:
            return
        linked = self._link_chars
        self._end_cell()
        rows, self._rows = [row for row in self._rows if any(row)], None
        if sum(len(row) >= 2 for row in rows) >= 2:
            chars = sum(len(cell) for row in rows for cell in row)
            self._add(0, table_markdown(rows), chars, linked)
        else:  # one that lays the page out
            for cell in (cell for row in rows for cell in row if cell):
                self._add(0, cell, len(cell), 0)
        self._link_chars = 0

    def _take(self) -> str:
        joined, self._pieces = "".join(self._pieces), []
        if CODE in joined:
            joined = _CODE_SPAN.sub(_code_span, joined)
        text = _REFUSED.sub("", unescape(joined))
        return "\n".join(line for raw in text.split("\n") if (line := " ".join(raw.split())))

    def _flush(self) -> None:
        if self._in_pre:
            self._add_code()
            return
        is_label = LABEL in "".join(self._pieces[:1])
        if self._pieces and BULLETS in self._pieces[0] and self._lists:
            self._as_bullets()
        elif self._pieces and START in self._pieces[0]:
            self._count_from_start()
        text, linked = self._take(), self._link_chars
        self._link_chars = 0
        if self._level:
            text = PERMALINK.sub("", text.replace("\n", " ").replace("`", "")).strip()
        if text and is_label:
            self._add(0, f"**{text}**", len(text), linked)
        elif text:
            self._add(self._level, text, len(text), linked)

    def _count_from_start(self) -> None:
        match = _START.search(self._pieces[0])
        if match is None:
            return
        self._pieces[0] = self._pieces[0].replace(match[0], "")
        last = self._containers[-1] if self._containers else None
        if self._lists and last is not None and last.list_element is self._lists[-1].identity:
            self._lists[-1].n_items = int(match[1])
            sign = f"{int(match[1])}. "
            self._containers[-1] = Container(last.key, sign, " " * len(sign), last.list_element)

    def _as_bullets(self) -> None:
        self._lists[-1].is_ordered = False
        if self._containers:
            last = self._containers[-1]
            self._containers[-1] = Container(last.key, "- ", "  ", last.list_element)

    def _add_code(self) -> None:
        code = _REFUSED.sub("", unescape("".join(self._pieces))).strip("\n").rstrip()
        self._pieces, self._link_chars = [], 0
        if code.strip():
            fence = "`" * (1 + max(map(len, _TICKS.findall(code)), default=2))
            self._add(0, f"{fence}\n{code}\n{fence}", len(code), 0)

    def _add(self, level: int, text: str, chars: int, linked: int) -> None:
        if level:  # a heading ends whatever quote was left open
            self._containers = [c for c in self._containers if c.list_element is not None]
        containers = tuple(self._containers)
        self._blocks.append(Block(None, level, text, chars, linked, (), containers, kept=True))
