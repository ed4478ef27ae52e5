"""Headers and lines of navigation and promotion, known by their wording."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

from humpback_pipeline.web.line_patterns import (
    BOILERPLATE_LINE,
    CONSENT_LINE,
    CONSENT_WORDS,
)

NAVIGATION_HEADERS_FILE: Final = Path(__file__).with_name("navigation_headers.txt")

_NOT_WORDS: Final = re.compile(r"[\W_]+")
_MAX_LINE_CHARS: Final = 60
_MAX_NOTE_CHARS: Final = 700
# A header with more words beside a navigation phrase speaks of it: "Fit it to the advertisement".
_MAX_OTHER_WORDS: Final = 3
# "3 comments" and "2 thoughts on “Queues”", not "3 responses to stress".
_COUNTED_COMMENTS: Final = re.compile(
    r"\W*\d+ (?:comments?|kommentare?|commentaires?|comentarios?|responses?|repl(?:y|ies)|"
    r"thoughts?)(?: so far| yet| already|\W+add yours)?"
    r"(?:\W*|\s+(?:to|on|zu|für|sur|en):?\s*[\"“”„«‘‚'].*)",
    re.IGNORECASE | re.DOTALL,
)
_WHOLE_SIGNS: Final = "=?"
_MARKS: Final = re.compile(r"\*\*|\*(?=\S)|(?<=\S)\*")
_EDGES: Final = "_-–—•| \n()"


@lru_cache(maxsize=8)
def load_navigation_headers(path: Path = NAVIGATION_HEADERS_FILE) -> tuple[str, ...]:
    """Read a file of navigation headers (its own comments tell the format).

    Raises ValueError when no phrase is in it, OSError when it cannot be read.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    phrases = tuple(phrase for line in lines if (phrase := line.split("#")[0].strip()))
    if not phrases:
        raise ValueError(f"{path}: no navigation header in it; write one phrase a line")
    return phrases


def is_navigation_header(header: str, phrases: tuple[str, ...]) -> bool:
    """Tell whether one of the phrases matches a header; those with `?` are not asked."""
    words = _words(header)
    whole, within, _ = _patterns(phrases)
    if whole.fullmatch(words) or _COUNTED_COMMENTS.fullmatch(header):
        return True
    for found in within.finditer(words):
        n_words = len(found[0].split())
        n_others = len(words.split()) - n_words
        if n_others <= _MAX_OTHER_WORDS + (n_words > 1) or (n_words > 1 and found.start() == 0):
            return True
    return False


def may_be_navigation_header(header: str, phrases: tuple[str, ...]) -> bool:
    """Tell whether a header is a phrase with `?`: navigation unless running text is under it."""
    return bool(_patterns(phrases)[2].fullmatch(_words(header)))


def is_boilerplate_line(text: str, phrases: tuple[str, ...]) -> bool:
    """Tell whether a whole block is a footer line, a promotion or a short navigation phrase."""
    if text.startswith(("```", "|")):
        return False
    return is_boilerplate_wording(plain_line(text), phrases)


def is_boilerplate_wording(line: str, phrases: tuple[str, ...]) -> bool:
    """Tell the same of a block's plain_line()."""
    if len(line) > _MAX_NOTE_CHARS:
        return False
    if matches_boilerplate(line):
        return True
    if len(line) > _MAX_LINE_CHARS or line.endswith((".", "!", "?", "。")):
        return False
    # A whole-header phrase such as "see also" is no navigation where it leads a note in a text.
    return is_navigation_header(line, _phrases_within(phrases))


def matches_boilerplate(line: str) -> bool:
    """Tell whether a line without Markdown marks is one that no article needs."""
    if BOILERPLATE_LINE.matches(line):
        return True
    return "cookie" in line.lower() and bool(
        CONSENT_LINE.fullmatch(line) and CONSENT_WORDS.search(line)
    )


def plain_line(text: str) -> str:
    """Take a block's marks of emphasis, and the signs around it, off; in one line."""
    unmarked = _MARKS.sub("", text) if "*" in text else text
    return " ".join(unmarked.strip(_EDGES).split())


def _words(text: str) -> str:
    return _NOT_WORDS.sub(" ", text.lower()).strip()


@lru_cache(maxsize=16)
def _phrases_within(phrases: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(phrase for phrase in phrases if phrase[0] not in _WHOLE_SIGNS)


@lru_cache(maxsize=16)
def _patterns(phrases: tuple[str, ...]) -> tuple[re.Pattern[str], re.Pattern[str], re.Pattern[str]]:
    """Patterns of the phrases that are whole headers, parts of one, and perhaps a whole one."""

    def alternatives(found: list[str]) -> str:
        return "|".join(re.escape(_words(phrase)) for phrase in found) or "(?!)"

    whole = alternatives([p for p in phrases if p.startswith("=")])
    within = alternatives(list(_phrases_within(phrases)))
    perhaps = alternatives([p for p in phrases if p.startswith("?")])
    return (
        re.compile(rf"(?:{whole})s?"),
        re.compile(rf"\b(?:{within})s?\b"),
        re.compile(rf"(?:\d+ )?(?:{perhaps})s?"),
    )
