"""Blocks of small pages, and what is left of them without the pages' own lines."""

from __future__ import annotations

import lxml.html

from humpback_pipeline.web.blocks import Block, collect_blocks
from humpback_pipeline.web.navigation import load_navigation_headers
from humpback_pipeline.web.teasers import drop_teasers

HEADERS = load_navigation_headers()
SENTENCE = "The queue gives back what was put in first, and it blocks while there is nothing in it."
PROSE = f"<p>{SENTENCE}</p>" * 5


def blocks_of(body: str) -> list[Block]:
    tree = lxml.html.document_fromstring(f"<html><body>{body}</body></html>")
    blocks = collect_blocks(tree)
    for block in blocks:
        block.kept = True
    return blocks


def left(body: str) -> list[str]:
    return [block.text for block in drop_teasers(blocks_of(body), HEADERS)]
