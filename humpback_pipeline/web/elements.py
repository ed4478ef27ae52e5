"""What elements of a page are: which tags make blocks; titles, callouts, data tables, code."""

from __future__ import annotations

import re
from typing import Final

import lxml.html

HEADING_TAGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
SKIPPED_TAGS: Final = frozenset(
    {
        "head",
        "script",
        "style",
        "noscript",
        "template",
        "svg",
        "iframe",
        "object",
        "button",
        "select",
        "option",
        "input",
        "textarea",
        "audio",
        "video",
        "canvas",
        "map",
        "datalist",
        "dialog",
    }
)
BLOCK_TAGS: Final = (
    *HEADING_TAGS,
    "address",
    "article",
    "aside",
    "blockquote",
    "body",
    "center",
    "dd",
    "details",
    "dir",
    "div",
    "dl",
    "dt",
    "fieldset",
    "figcaption",
    "figure",
    "footer",
    "form",
    "header",
    "hr",
    "legend",
    "li",
    "main",
    "menu",
    "nav",
    "ol",
    "p",
    "pre",
    "section",
    "summary",
    "table",
    "tbody",
    "td",
    "tfoot",
    "th",
    "thead",
    "tr",
    "ul",
)
BLOCK_SET: Final = frozenset(BLOCK_TAGS)
CODE_TAGS: Final = frozenset({"code", "tt", "kbd", "samp"})
# A table with one of these lays the page out.
TABLE_BREAKERS: Final = (*HEADING_TAGS, "table", "pre", "ul", "ol", "dl", "blockquote", "form")
# Class names of boxes in a section whose headings only name them ("Note").
CALLOUTS: Final = frozenset(
    {
        "note",
        "tip",
        "warning",
        "caution",
        "important",
        "admonition",
        "hint",
        "danger",
        "callout",
        "sidebar-box",
    }
)
_CODE_LANGUAGE: Final = re.compile(
    r"(?:^|\s)(?:language|lang|highlight|brush:)-?\s?([a-z+#]{1,12})"
)
# A heading's link to itself at its end; "C#" is the name of a language.
PERMALINK: Final = re.compile(r"\s*(?:[¶§🔗]|(?<!\b[A-Z])#)\s*$")
_NOT_A_LANGUAGE: Final = frozenset({"default", "none", "text", "source", "notranslate", "plain"})


def drop_title_ids(heading: lxml.html.HtmlElement, text: str) -> None:
    """Remove anchors made from the title, such as id="sharing-state-between-processes".

    They say what the section is about; extractors would read them as its role (a share bar).
    """
    for element in (heading, heading.getparent()):
        if is_title_id(element.get("id") or "", text):
            del element.attrib["id"]


def is_title_id(identifier: str, title: str) -> bool:
    """Tell whether an id is made from a title's words, from its first or to its last."""
    words = re.sub(r"\W+", "", title).lower()
    anchor = re.sub(r"\W+", "", identifier.replace("_", "")).lower()
    return len(anchor) > 3 and (words.startswith(anchor) or words.endswith(anchor))


def is_callout_label(heading: lxml.html.HtmlElement) -> bool:
    """Tell whether a heading only names a box ("Note") in its section, and begins none itself."""
    box = heading.getparent()
    return box is not None and is_callout(box.get("class") or "")


def is_callout(classes: str) -> bool:
    """Tell whether an element's class attribute names such a box."""
    return not CALLOUTS.isdisjoint(classes.lower().split())


def is_data_table(table: lxml.html.HtmlElement) -> bool:
    """Tell whether a table is one of plain cells, two by two or more; others lay the page out."""
    if next(table.iterdescendants(*TABLE_BREAKERS), None) is not None:
        return False
    widths = [len(row) for row in table.iter("tr")]
    return len(widths) >= 2 and sum(width >= 2 for width in widths) >= 2


def table_markdown(rows: list[list[str]]) -> str:
    """Render rows of cells, the first of them as the table's header."""
    width = max(len(row) for row in rows)
    lines = ["| " + " | ".join(row + [""] * (width - len(row))) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * width)
    return "\n".join(lines)


def code_language(pre: lxml.html.HtmlElement) -> str:
    """Name the language of a code block by its classes; empty when they tell none."""
    nearby = [*pre.iter("pre", "code"), *list(pre.iterancestors())[:2]]
    for element in nearby:
        match = _CODE_LANGUAGE.search(element.get("class") or "")
        if match and match[1] not in _NOT_A_LANGUAGE:
            return "python" if match[1] in ("python3", "pycon") else match[1]
    return ""
