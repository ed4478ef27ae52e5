"""Blocks back to one Markdown text: lists, quotes and code keep their shape."""

from __future__ import annotations

from collections.abc import Sequence

from humpback_pipeline.web.blocks import Block, Container


def render_markdown(blocks: Sequence[Block]) -> str:
    """Join headings and text blocks, in document order, into Markdown.

    A heading inside a list item or quote opens a section there: it and what follows in the same
    item stand at the margin.
    """
    parts: list[str] = []
    opened: set[int] = set()
    left: set[int] = set()
    previous: tuple[Container, ...] = ()
    for block in blocks:
        if not block.containers:  # most stand at the margin
            text = f"{'#' * block.level} {block.text}" if block.level else block.text
            if "\n" in text:
                first, *others = text.split("\n")
                text = "\n".join([first, *(line.rstrip() for line in others)])
            parts += ["\n\n", text] if parts else [text]
            previous = ()
            continue
        if block.level:
            left.update(c.key for c in block.containers)
        containers = tuple(c for c in block.containers if c.key not in left)
        starts_item = any(c.list_element is not None and c.key not in opened for c in containers)
        first = "".join(c.rest if c.key in opened else c.first for c in containers)
        rest = "".join(c.rest for c in containers)
        opened.update(c.key for c in containers)
        text = f"{'#' * block.level} {block.text}" if block.level else block.text
        lines = text.split("\n")
        indented = [first + lines[0], *((rest + line).rstrip() for line in lines[1:])]
        if parts:
            parts.append(_separator(previous, containers, starts_item))
        parts.append("\n".join(indented))
        previous = containers
    return "".join(parts).strip()


def _separator(
    previous: tuple[Container, ...], current: tuple[Container, ...], starts_item: bool
) -> str:
    lists = [c.list_element for c in previous if c.list_element is not None]
    if starts_item and any(c.list_element in lists for c in current):
        return "\n"
    shared = "".join(
        c.rest for c, other in zip(current, previous, strict=False) if c.key == other.key
    )
    return f"\n{shared.rstrip()}\n"
