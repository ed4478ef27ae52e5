"""The two extractors of a page's main content behind one interface."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from humpback_pipeline.web.blocks import Block
from humpback_pipeline.web.native_content import native_content
from humpback_pipeline.web.page import Page
from humpback_pipeline.web.recovered_content import recovered_content


def _by_trafilatura(page: Page) -> list[Block]:
    return recovered_content(page.html, page.document.url)


def _by_resiliparse(page: Page) -> list[Block]:
    return native_content(page.tree)


# Each gives headings and text blocks in page order; native_content uses the page's tree up.
EXTRACTORS: Final[Mapping[str, Callable[[Page], list[Block]]]] = MappingProxyType(
    {"trafilatura": _by_trafilatura, "resiliparse": _by_resiliparse}
)


def check_extractor(name: str) -> None:
    """Raise ValueError, naming those allowed, when there is no extractor of this name."""
    if name not in EXTRACTORS:
        raise ValueError(f"extractor: unknown {name!r}; allowed: {', '.join(sorted(EXTRACTORS))}")


def main_content(page: Page, extractor: str) -> list[Block]:
    """Return a page's main content as headings and text blocks, in order.

    Raises ValueError for an unknown extractor, and whatever the extractor raises on a page that it
    cannot handle.
    """
    check_extractor(extractor)
    return EXTRACTORS[extractor](page)
