"""Main content by resiliparse alone: the page's own parser, without a tree in Python.

resiliparse gives reduced HTML (headings, paragraphs, lists, preformatted text, links). What that
leaves out (inline code, quotes, tables) is written into the page's text beforehand, as signs that
are read back afterwards.
"""

from __future__ import annotations

import re
from typing import Any, Final

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.html import HTMLTree

from humpback_pipeline.web.blocks import Block
from humpback_pipeline.web.boilerplate import (
    MAX_SCRAP_NAME_CHARS,
    has_boilerplate_name,
    has_scrap_name,
)
from humpback_pipeline.web.elements import (
    CODE_TAGS,
    HEADING_TAGS,
    TABLE_BREAKERS,
    is_callout,
    is_title_id,
)
from humpback_pipeline.web.reduced_html import (
    BULLETS,
    CELL,
    CODE,
    LABEL,
    QUOTE,
    ROW,
    START,
    TABLE,
    UNQUOTE,
    UNTABLE,
    read_reduced_html,
)
from humpback_pipeline.web.time_limit import PageTimeoutError

# By tag alone elements are found ten times as fast as by a selector.
_REMOVED_TAGS: Final = ("button", "svg", "figcaption")
_REMOVED: Final = (
    "[aria-hidden=true], a.headerlink, a.anchor, .mw-editsection, "
    ".sr-only, .screen-reader-text, .visually-hidden, .noprint"
)
_BOILERPLATE_BOXES: Final = (
    "nav, aside, form, dialog, menu, [role=navigation], [role=search], [role=dialog], [role=alert]"
)
# resiliparse takes any <ul> this near to <body> for the site's navigation.
_SHALLOW_LISTS: Final = "body > ul, body > * > ul, body > * > * > ul"
_TABLE_BREAKERS: Final = ", ".join(TABLE_BREAKERS)
_HEADINGS: Final = ", ".join(HEADING_TAGS)
# Elements whose names are asked for: each costs, and those of running text are many.
_NAMED_BOXES: Final = ", ".join(
    f"{tag}[class], {tag}[id]"
    for tag in ("article", "div", "footer", "header", "ol", "p", "section", "table", "ul")
)
# A page has hundreds of spans and links with a class; the usual names choose among them natively.
_SCRAPS: Final = "time, address[class], a[class*=author], " + ", ".join(
    f"span[class*={name}]"
    for name in ("author", "byline", "count", "credit", "date", "meta", "publish", "time")
)
_START_NUMBER: Final = re.compile("[0-9]{1,6}")
_MAX_LINK_SHARE: Final = 0.5
# An element with more than this share of the page's prose holds the article, whatever its name.
_MAX_BOILERPLATE_SHARE: Final = 0.3
# Each is measured by itself, so that on a hostile page the work grows with the square of them.
_MAX_MEASURED: Final = 1_000


def native_content(tree: HTMLTree) -> list[Block]:
    """Return the main content of a page as headings and text blocks, in order; changes `tree`."""
    try:
        return _main_content(tree)
    except BaseException as error:
        # A time limit that ends in a callback of resiliparse comes out as a panic of Rust's, which
        # is no Exception.
        if type(error).__name__ != "PanicException":
            raise
        if PageTimeoutError.__name__ in str(error):
            raise PageTimeoutError("over the limit, inside resiliparse") from error
        raise RuntimeError(f"resiliparse panicked: {error}"[:300]) from error


def _main_content(tree: HTMLTree) -> list[Block]:
    body = tree.body
    if body is None:
        return []
    _remove_boilerplate(body)
    _write_signs(tree, body)
    reduced = extract_plain_text(
        tree,
        preserve_formatting="minimal_html",
        main_content=True,
        links=True,
        alt_texts=False,
        comments=False,
        post_meta=False,
    )
    return read_reduced_html(str(reduced))


def _remove_boilerplate(body: Any) -> None:
    for tag in _REMOVED_TAGS:
        for element in body.get_elements_by_tag_name(tag).values():
            element.remove()
    for element in body.query_selector_all(_REMOVED).values():
        element.remove()
    most = _MAX_BOILERPLATE_SHARE * _prose_chars(body)
    boxes = body.query_selector_all(_BOILERPLATE_BOXES).values()[:_MAX_MEASURED]
    # Before names are asked for: half of all named elements may stand in a menu.
    _remove_boxes(body, boxes, most)
    named, scraps = [], []
    for element in body.query_selector_all(_NAMED_BOXES).values():
        classes = element.class_name or ""
        if has_boilerplate_name(classes, element.id or ""):
            if has_boilerplate_name(classes, "") or not _drop_title_id(element):
                named.append(element)
        elif has_scrap_name(classes):
            scraps.append(element)
    _remove_boxes(body, named[: _MAX_MEASURED - len(boxes)], most)
    scraps += [
        e
        for e in body.query_selector_all(_SCRAPS).values()
        if e.tag == "time" or has_scrap_name(e.class_name or "")
    ]
    for element in scraps:
        if len((element.text or "").strip()) <= MAX_SCRAP_NAME_CHARS:
            element.remove()


def _remove_boxes(body: Any, boxes: list[Any], most: float) -> None:
    """Remove those with no more than `most` characters of prose in them."""
    for element in boxes:
        if body.contains(element) and (
            # All of its text is quicker to get than its paragraphs.
            len(element.text or "") <= most or _prose_chars(element) <= most
        ):
            element.remove()


def _drop_title_id(element: Any) -> bool:
    """Remove an id made from the section's title, "Cookies" say: it names no role. Tells if so."""
    heading = element.query_selector(_HEADINGS)
    if heading is None or not is_title_id(element.id or "", heading.text or ""):
        return False
    element.remove_attribute("id")
    return True


def _prose_chars(element: Any) -> int:
    return sum([len(p.text or "") for p in element.get_elements_by_tag_name("p").values()])


def _write_signs(tree: HTMLTree, body: Any) -> None:
    sign = tree.create_text_node
    for tag in CODE_TAGS:
        for code in body.get_elements_by_tag_name(tag).values():
            if code.parent is None or code.parent.tag not in CODE_TAGS:
                code.prepend(sign(CODE))
                code.append(sign(CODE))
    for quote in body.get_elements_by_tag_name("blockquote").values():
        quote.prepend(sign(QUOTE))
        quote.append(sign(UNQUOTE))
    for table in body.get_elements_by_tag_name("table").values():
        if table.query_selector(_TABLE_BREAKERS) is None:
            for cell in table.query_selector_all("td, th").values():
                cell.prepend(sign(CELL))
            for row in table.get_elements_by_tag_name("tr").values():
                first = row.first_element_child
                if first is not None:
                    first.prepend(sign(ROW))
            table.prepend(sign(TABLE))
            table.append(sign(UNTABLE))
    # From the few headings up: to look for the names of boxes takes ten times as long.
    for label in body.query_selector_all(_HEADINGS).values():
        box = label.parent
        if box is not None and is_callout(box.class_name or ""):
            label.prepend(sign(LABEL))
    _write_list_signs(tree, body)


def _write_list_signs(tree: HTMLTree, body: Any) -> None:
    """Make lists of prose, and lists announced by a colon, such as resiliparse keeps."""
    for items in body.query_selector_all("ul, ol, dl").values()[:_MAX_MEASURED]:
        links = items.get_elements_by_tag_name("a").values()
        is_prose = sum([len(link.text or "") for link in links]) <= _MAX_LINK_SHARE * len(
            items.text or ""
        )
        before = items.previous_element_sibling
        if is_prose or (before is not None and (before.text or "").rstrip().endswith(":")):
            for link in links:
                _unlink(tree, link)
    for items in body.query_selector_all("ol[start]").values():
        start, first = items.getattr("start") or "", items.query_selector("li")
        if first is not None and _START_NUMBER.fullmatch(start):
            first.prepend(tree.create_text_node(f"{START}{start}{START}"))
    for items in body.query_selector_all(_SHALLOW_LISTS).values():
        if items.query_selector("a") is None:
            _disguise(tree, items)


def _unlink(tree: HTMLTree, link: Any) -> None:
    """Leave a link's text alone; resiliparse drops a list of links, announced or not."""
    text = tree.create_element("span")
    link.replace_with(text)
    for child in link.child_nodes.values():
        text.append_child(child)


def _disguise(tree: HTMLTree, items: Any) -> None:
    """Make an ordered list of a plain one, with the sign that it is none."""
    ordered = tree.create_element("ol")
    items.replace_with(ordered)
    for child in items.child_nodes.values():
        ordered.append_child(child)
    if ordered.first_element_child is not None:
        ordered.first_element_child.prepend(tree.create_text_node(BULLETS))
