"""A page's header-rooted sections as its own DOM has them, by no rule of the project's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import lxml.html
from lxml import etree

MIN_CHARS: Final = 600
MAX_CHARS: Final = 3_000

# Where documentation generators put the page's own text, most specific first: Sphinx, Read the
# Docs, Docusaurus, MkDocs, GitHub and Hugo themes, DocBook, javadoc, man pages, plain HTML 5.
_CONTAINERS: Final = (
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' theme-doc-markdown ')]",
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' md-content ')]",
    "//*[@itemprop='articleBody']",
    "//div[contains(concat(' ', normalize-space(@class), ' '), ' body ')]",
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' markdown-body ')]",
    "//*[contains(concat(' ', normalize-space(@class), ' '), ' rst-content ')]",
    "//main",
    "//*[@role='main']",
    "//article",
    "//div[@id='docContent' or @id='content' or @id='main-content' or @id='bodyContent']",
    "//body",
)
# A container must hold this share of the page's text outside of menus.
_MIN_SHARE: Final = 0.4
_SKIPPED_TAGS: Final = frozenset(
    {"script", "style", "head", "nav", "form", "footer", "aside", "button", "noscript", "template"}
)
_SKIPPED_CLASSES: Final = frozenset(
    {
        "headerlink",
        "navheader",
        "navfooter",
        "navbar",
        "toc",
        "toctree-wrapper",
        "table-of-contents",
        "contents",
        "sidebar",
        "sphinxsidebar",
        "breadcrumbs",
        "breadcrumb",
        "pagination",
        "pager",
        "related",
        "footer",
        "top-nav",
        "sub-nav",
        "edit-link",
        "prev-next",
        "rst-footer-buttons",
        "theme-doc-footer",
        "theme-doc-breadcrumbs",
        "md-sidebar",
        "titlepage-toc",
    }
)
_CALLOUTS: Final = frozenset({"note", "tip", "warning", "caution", "important", "admonition"})
_PERMALINKS: Final = frozenset({"¶", "#", "§", "🔗"})


@dataclass(frozen=True, slots=True)
class Section:
    """One header-rooted section of a page's DOM; text has its white space collapsed."""

    header: str
    level: int
    text: str


def reference_sections(html: bytes, charset: str | None = None) -> list[Section]:
    """List a page's sections of 600–3,000 characters by its heading elements; nested ones too."""
    tree = _parse(html, charset)
    container = None if tree is None else _container(tree)
    if container is None:
        return []
    pieces: list[tuple[int, str]] = []  # (heading's level, or 0 for text; text)
    _walk(container, pieces, is_body=container.tag == "body")
    sections: list[Section] = []
    for start, (level, header) in enumerate(pieces):
        if not level:
            continue
        texts = [header]
        for other, text in pieces[start + 1 :]:
            if other and other <= level:
                break
            texts.append(f" {text} " if other else text)
        text = " ".join("".join(texts).split())
        if MIN_CHARS <= len(text) <= MAX_CHARS:
            sections.append(Section(header, level, text))
    return sections


def _parse(html: bytes, charset: str | None) -> lxml.html.HtmlElement | None:
    try:
        text = html.decode("utf-8")
    except UnicodeDecodeError:
        try:
            text = html.decode(charset or "windows-1252", "replace")
        except LookupError:
            text = html.decode("windows-1252", "replace")
    text = re.sub(r"^\s*<\?xml[^>]*\?>", "", text).replace("\x00", " ")
    try:
        tree = lxml.html.document_fromstring(text)
    except (etree.LxmlError, ValueError, AssertionError):
        return None
    etree.strip_elements(tree, etree.Comment, with_tail=False)
    return tree


def _container(tree: lxml.html.HtmlElement) -> lxml.html.HtmlElement | None:
    """The most specific container that holds much of the page's text outside of menus."""
    bodies = tree.xpath("//body")
    total = _chars(bodies[0]) if bodies else 0
    for path in _CONTAINERS:
        found = tree.xpath(path)
        best = max(found, key=_chars, default=None)
        if best is not None and _chars(best) >= _MIN_SHARE * total:
            return best
    return bodies[0] if bodies else None


def _chars(element: lxml.html.HtmlElement) -> int:
    pieces: list[tuple[int, str]] = []
    _walk(element, pieces, is_body=False)
    return sum(len(text.strip()) for _, text in pieces)


def _walk(element: lxml.html.HtmlElement, pieces: list[tuple[int, str]], *, is_body: bool) -> None:
    if not isinstance(element.tag, str) or _is_skipped(element, is_body):
        return
    if re.fullmatch(r"h[1-6]", element.tag) and not _names_callout(element):
        own = " ".join(t.strip() for t in element.itertext() if t.strip() not in _PERMALINKS)
        pieces.append((int(element.tag[1]), " ".join(own.split())))
        return
    if element.text:
        pieces.append((0, element.text))
    for child in element:
        _walk(child, pieces, is_body=is_body)
        # Blocks part words even where the source has no white space between them.
        pieces.append((0, " " if child.tag in ("br", "p", "div", "li", "td", "th", "dt") else ""))
        if child.tail:
            pieces.append((0, child.tail))


def _is_skipped(element: lxml.html.HtmlElement, is_body: bool) -> bool:
    if element.tag in _SKIPPED_TAGS or element.get("role") in ("navigation", "search", "banner"):
        return True
    if is_body and element.tag == "header":
        return True
    if element.tag == "a" and (element.text or "").strip() in _PERMALINKS and not len(element):
        return True
    return not _SKIPPED_CLASSES.isdisjoint((element.get("class") or "").lower().split())


def _names_callout(heading: lxml.html.HtmlElement) -> bool:
    parent = heading.getparent()
    return parent is not None and not _CALLOUTS.isdisjoint((parent.get("class") or "").split())
