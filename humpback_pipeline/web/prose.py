"""The prose in a segment's Markdown: its lines, sentences and words, in any script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

LineKind = Literal["heading", "bullet", "item", "text"]

# Scripts written without spaces between words: Thai, Lao, Tibetan, Burmese, Khmer; kana, Han.
_UNSPACED: Final = (
    "\u0e00-\u0eff\u0f00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U000323af"
)
# Vowel signs and accents are part of a word, but no letters to `re`.
_SIGNS: Final = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0670\u0900-\u0963\u0966-\u0dff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]|(?:[^\W_{_UNSPACED}]|[{_SIGNS}])+")
_ASCII_WORD: Final = re.compile(r"[A-Za-z0-9]+")
_UNSPACED_CHARACTER: Final = re.compile(rf"[{_UNSPACED}]")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?؟۔।॥])\s+|(?<=[。！？｡])|\n+")

_QUOTE_OR_INDENT: Final = re.compile(r"(?:\s|>)*")
_BULLET: Final = re.compile(r"(?:[-*+•‣◦▪·–—]|\d{1,3}[.)])\s+")
_HEADING: Final = re.compile(r"#{1,6}\s+")
_FENCE: Final = re.compile(r"(`{3,}|~{3,})([^`]*)$")


@dataclass(frozen=True, slots=True)
class ProseLine:
    """A line of prose without its Markdown marks.

    kind: a heading, the first line of a list item (bullet), a further one (item), or text.
    """

    text: str
    kind: LineKind


def prose_lines(markdown: str) -> list[ProseLine]:
    """Lines of a Markdown text without code blocks and tables; an empty line between paragraphs."""
    lines: list[ProseLine] = []
    fence = ""
    for line in markdown.splitlines():
        rest = line[_start(line) :]
        bullet = _BULLET.match(rest)
        content = (rest[bullet.end() :] if bullet else rest).rstrip()
        if fence:
            if content.startswith(fence) and not content.strip(fence[0]):
                fence = ""
            continue
        opening = _FENCE.match(content)
        if opening:
            fence = opening[1]
            continue
        if content.startswith("|"):
            continue
        heading = _HEADING.match(content)
        if heading:
            lines.append(ProseLine(content[heading.end() :], "heading"))
        elif bullet:
            lines.append(ProseLine(content, "bullet"))
        else:
            lines.append(ProseLine(content, "item" if line[:2] == "  " else "text"))
    return lines


def sentences(text: str) -> list[str]:
    """Split at line ends and after sentence marks; Chinese and Japanese marks need no space."""
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence]


def words(text: str) -> list[str]:
    """Words of a text; of scripts written without spaces, each character is one."""
    return (_ASCII_WORD if text.isascii() else _WORD).findall(text)


def unspaced_share(text: str) -> float:
    """Share of characters, white space left out, of scripts written without spaces."""
    if text.isascii():
        return 0.0
    n_characters = len("".join(text.split()))
    return len(_UNSPACED_CHARACTER.findall(text)) / n_characters if n_characters else 0.0


def _start(line: str) -> int:
    match = _QUOTE_OR_INDENT.match(line)
    return match.end() if match else 0
