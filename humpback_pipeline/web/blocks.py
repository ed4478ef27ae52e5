"""The page as a flat list of headings and text blocks in document order, each one marked."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import lxml.html

from humpback_pipeline.web.elements import (
    BLOCK_SET,
    BLOCK_TAGS,
    HEADING_TAGS,
    PERMALINK,
    SKIPPED_TAGS,
    code_language,
    drop_title_ids,
    is_callout_label,
    is_data_table,
    table_markdown,
)
from humpback_pipeline.web.inline import InlineRun, is_noise
from humpback_pipeline.web.markers import MAX_MARKERS, mark_text


@dataclass(frozen=True, slots=True)
class Container:
    """A list item, definition or quote around blocks: what each of its lines begins with.

    list_element: the list that an item belongs to, None for a quote.
    """

    key: int
    first: str
    rest: str
    list_element: lxml.html.HtmlElement | None = None


@dataclass(slots=True)
class Block:
    """One heading (level 1–6) or text block (level 0) of a page.

    text: Markdown without its containers' prefixes. chars, link_chars: visible characters, and
    those inside links. marker_ids: the markers that stand in its text nodes.
    """

    element: lxml.html.HtmlElement
    level: int
    text: str
    chars: int
    link_chars: int
    marker_ids: tuple[int, ...]
    containers: tuple[Container, ...] = ()
    kept: bool = field(default=False)


def collect_blocks(tree: lxml.html.HtmlElement) -> list[Block]:
    """List the page's headings and blocks in order, and put a marker in each (changes `tree`)."""
    collector = _Collector()
    body = tree.find(".//body")
    collector.walk(tree if body is None else body, ())
    collector.flush_all()
    return collector.blocks


class _Collector:
    """Walks the tree once, cutting it into blocks."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self._n_markers = 0
        self._n_containers = 0
        self._run = InlineRun()
        self._run_owner: lxml.html.HtmlElement | None = None
        self._run_containers: tuple[Container, ...] = ()

    def walk(self, element: lxml.html.HtmlElement, containers: tuple[Container, ...]) -> None:
        """Collect an element's content, without its tail."""
        self._begin_run(element, containers)
        self._run.add_text(element, "text")
        number = int(element.get("start") or 1) if _is_number(element.get("start")) else 1
        for child in element:
            tag = child.tag
            if isinstance(tag, str) and tag not in SKIPPED_TAGS and not is_noise(child):
                if tag in BLOCK_SET or _holds_block(child):
                    self.flush_all()
                    self._walk_block(child, containers, number)
                    number += tag == "li"
                    self._begin_run(element, containers)
                else:
                    self._run.add_element(child)
            if child.tail:
                self._run.add_text(child, "tail")
        self.flush_all()

    def flush_all(self) -> None:
        """End the current inline run, as a block if it has text."""
        run, owner = self._run, self._run_owner
        if run.is_empty:
            return
        self._run = InlineRun()
        if owner is None or run.slot is None:
            return
        text = run.markdown()
        if text:
            self._add(owner, 0, text, run, self._run_containers)

    def _begin_run(self, owner: lxml.html.HtmlElement, containers: tuple[Container, ...]) -> None:
        # Whatever stood before is flushed: the run is empty.
        self._run_owner, self._run_containers = owner, containers

    def _walk_block(
        self, element: lxml.html.HtmlElement, containers: tuple[Container, ...], number: int
    ) -> None:
        tag = element.tag
        if tag in HEADING_TAGS:
            self._add_heading(element, containers)
        elif tag == "pre":
            self._add_code(element, containers)
        elif tag == "table" and is_data_table(element):
            self._add_table(element, containers)
        else:
            self.walk(element, containers + self._new_containers(element, number))

    def _new_containers(self, element: lxml.html.HtmlElement, number: int) -> tuple[Container, ...]:
        self._n_containers += 1
        tag, key, parent = element.tag, self._n_containers, element.getparent()
        if tag == "blockquote":
            return (Container(key, "> ", "> "),)
        if tag == "dd":
            return (Container(key, "  ", "  ", parent),)
        if tag == "li" and parent.tag == "ol":
            return (Container(key, f"{number}. ", " " * len(f"{number}. "), parent),)
        if tag in ("li", "dt"):
            return (Container(key, "- ", "  ", parent),)
        return ()

    def _add_heading(
        self, element: lxml.html.HtmlElement, containers: tuple[Container, ...]
    ) -> None:
        run = InlineRun(marks=False)
        run.add_element(element)
        text = PERMALINK.sub("", run.markdown().replace("\n", " ")).strip()
        drop_title_ids(element, text)
        if text and is_callout_label(element):
            self._add(element, 0, f"**{text}**", run, containers)
        else:
            self._add(element, int(element.tag[1]), text, run, containers)

    def _add_code(self, element: lxml.html.HtmlElement, containers: tuple[Container, ...]) -> None:
        run = InlineRun(marks=False)
        run.add_element(element)
        code = "".join(element.itertext()).strip("\n").rstrip()
        if not code.strip():
            return
        fence = "```" if "```" not in code else "````"
        text = f"{fence}{code_language(element)}\n{code}\n{fence}"
        self._add(element, 0, text, run, containers)

    def _add_table(self, element: lxml.html.HtmlElement, containers: tuple[Container, ...]) -> None:
        rows: list[list[str]] = []
        ids: list[int] = []
        chars = link_chars = 0
        for row in element.iter("tr"):
            cells: list[str] = []
            for cell in row.iterchildren("td", "th"):
                run = InlineRun()
                run.add_element(cell)
                ids += self._mark(run)
                chars, link_chars = chars + run.chars, link_chars + run.link_chars
                cells.append(run.markdown().replace("\n", " ").replace("|", "\\|"))
            if any(cells):
                rows.append(cells)
        if rows:
            block = Block(
                element, 0, table_markdown(rows), chars, link_chars, tuple(ids), containers
            )
            self.blocks.append(block)

    def _add(
        self,
        element: lxml.html.HtmlElement,
        level: int,
        text: str,
        run: InlineRun,
        containers: tuple[Container, ...],
    ) -> None:
        ids = tuple(self._mark(run))
        self.blocks.append(Block(element, level, text, run.chars, run.link_chars, ids, containers))

    def _mark(self, run: InlineRun) -> list[int]:
        if run.slot is None or self._n_markers >= MAX_MARKERS:
            return []
        owner, part = run.slot
        number, self._n_markers = self._n_markers, self._n_markers + 1
        setattr(owner, part, mark_text(getattr(owner, part), number))
        return [number]


def _holds_block(inline: lxml.html.HtmlElement) -> bool:
    return bool(len(inline)) and next(inline.iter(*BLOCK_TAGS), None) is not None


def _is_number(value: str | None) -> bool:
    return bool(value) and re.fullmatch(r"\d{1,6}", value or "") is not None
