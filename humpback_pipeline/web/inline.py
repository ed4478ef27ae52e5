"""Markdown of inline HTML: text, code spans, emphasis, line breaks."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

import lxml.html

from humpback_pipeline.web.elements import CODE_TAGS

_EMPHASIS: Final = {"strong": "**", "b": "**", "em": "*", "i": "*"}
# Controls and pictures; their text (labels, options) is no part of the prose.
_SKIPPED_TAGS: Final = frozenset(
    {
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
        "img",
        "audio",
        "video",
        "canvas",
        "map",
        "math",
    }
)
_NOISE_CLASS: Final = re.compile(
    r"(?:^|\s)(?:headerlink|anchor(?:link|js-link)?|mw-editsection|sr-only|screen-reader-text|"
    r"visually-hidden|noprint)(?:\s|$)",
    re.IGNORECASE,
)
_PERMALINK_TEXTS: Final = frozenset({"¶", "#", "§", "🔗", "[edit]", "[link]"})
_ADJACENT_BOLD: Final = re.compile(r"(?<=[^\s*])\*{4}(?=[^\s*])")
_BREAK: Final = "\n"


class InlineRun:
    """Consecutive inline content of one block, gathered in document order.

    markdown() gives its text; chars and link_chars count visible characters; `slot` is the place
    of the longest text node (element, "text" or "tail"), where a marker may be put.
    """

    def __init__(self, marks: bool = True) -> None:
        self._pieces: list[str] = []
        self._marks = marks
        self.chars = 0
        self.link_chars = 0
        self.slot: tuple[lxml.html.HtmlElement, str] | None = None
        self._slot_chars = 0

    @property
    def is_empty(self) -> bool:
        """Whether nothing was added."""
        return not self._pieces

    def add_text(self, owner: lxml.html.HtmlElement, part: str, in_link: bool = False) -> None:
        """Add the text or tail (`part`) of an element."""
        text: str | None = owner.text if part == "text" else owner.tail
        if not text:
            return
        visible = len(text.strip())
        if not visible:
            if self._pieces:  # white space separates, but does not begin a run
                self._pieces.append(" ")
            return
        self._pieces.append(text.replace("\n", " "))
        self.chars += visible
        if in_link:
            self.link_chars += visible
        if visible > self._slot_chars:
            self.slot, self._slot_chars = (owner, part), visible

    def add_element(self, element: lxml.html.HtmlElement, in_link: bool = False) -> None:
        """Add an inline element with its descendants, but not its tail."""
        tag = element.tag
        if not isinstance(tag, str) or tag in _SKIPPED_TAGS or is_noise(element):
            return
        if tag == "br":
            self._pieces.append(_BREAK)
            return
        mark = "`" if tag in CODE_TAGS else _EMPHASIS.get(tag, "")
        start, outer = len(self._pieces), self._marks
        self._marks = outer and mark != "`"  # inside code, asterisks are code
        self._add_content(element, in_link or tag == "a")
        self._marks = outer
        if mark and outer:
            self._pieces[start:] = [_wrap("".join(self._pieces[start:]), mark)]

    def markdown(self) -> str:
        """Give the run's Markdown, white space collapsed; empty when nothing is visible."""
        joined = "".join(self._pieces).replace("\u200b", " ")
        if "****" in joined:
            joined = _ADJACENT_BOLD.sub("", joined)
        if _BREAK not in joined:
            return " ".join(joined.split())
        lines = (" ".join(line.split()) for line in joined.split(_BREAK))
        return _BREAK.join(line for line in lines if line)

    def _add_content(self, element: lxml.html.HtmlElement, in_link: bool) -> None:
        self.add_text(element, "text", in_link)
        for child in element:
            self.add_element(child, in_link)
            self.add_text(child, "tail", in_link)


def is_noise(element: lxml.html.HtmlElement) -> bool:
    """Tell whether an element is a permalink sign, an edit link or text for screen readers only."""
    names = element.get("class")
    if names and _is_noise_class(names):
        return True
    if element.get("hidden") is not None:
        return True
    style = element.get("style")
    if style and "display:none" in style.replace(" ", ""):
        return True
    return (
        element.tag == "a" and not len(element) and (element.text or "").strip() in _PERMALINK_TEXTS
    )


@lru_cache(maxsize=4_096)
def _is_noise_class(names: str) -> bool:
    return _NOISE_CLASS.search(names) is not None


def _wrap(text: str, mark: str) -> str:
    """Put marks around the text but not around its outer spaces, and never twice."""
    inner = text.strip()
    # A mark inside itself (bold in bold, a back-tick in code) would not read as Markdown.
    if not inner or mark[0] in inner or "\n" in inner:
        return text
    before = text[: len(text) - len(text.lstrip())]
    after = text[len(text.rstrip()) :]
    return f"{before}{mark}{inner}{mark}{after}"
