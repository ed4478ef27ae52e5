"""Headers and lines of navigation and promotion, known by their wording."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Final

NAVIGATION_HEADERS_FILE: Final = Path(__file__).with_name("navigation_headers.txt")

_NOT_WORDS: Final = re.compile(r"[\W_]+")
_MAX_LINE_CHARS: Final = 60
_FOOTER_LINE: Final = re.compile(
    r"(?:©|copyright\b|\(c\) ?\d{4}).{0,150}|.{0,80}\ball rights reserved\b.{0,80}|"
    r"(?:categor(?:y|ies)|tags?|tagged|filed under|posted (?:in|by|on)|image (?:credit|source)|"
    r"photo credit|last (?:updated|modified))\s*(?:\w+\s)?:.{0,100}|"
    r"(?:\d+ )?comments?|adverts?|follow @.{0,120}|"
    r".{0,60}\b(?:requires?|enable) javascript\b.{0,60}",
    re.IGNORECASE | re.DOTALL,
)
_PROMOTION_LINE: Final = re.compile(
    r"(?:social share|to read the full (?:story|article)|next:.{0,80}|previous:.{0,80})|"
    r"(?:.{0,80}[.!] )?(?:subscribe|sign up|follow|like us|be sure to|get|download)\b.{0,200}"
    r"\b(?:newsletters?|inbox|twitter|facebook|instagram|letterbox|app store)\b.{0,100}",
    re.IGNORECASE | re.DOTALL,
)


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
    """Tell whether one of the phrases matches a header."""
    return bool(_pattern(phrases).search(_words(header)))


def is_boilerplate_line(text: str, phrases: tuple[str, ...]) -> bool:
    """Tell whether a whole block is a footer line, a promotion or a short navigation phrase."""
    line = text.strip("*_-–—•| \n")
    if _FOOTER_LINE.fullmatch(line) or _PROMOTION_LINE.fullmatch(line):
        return True
    if len(line) > _MAX_LINE_CHARS or line.endswith((".", "!", "?", "。")):
        return False
    # A whole-header phrase such as "see also" is no navigation where it leads a note in a text.
    return is_navigation_header(line, tuple(p for p in phrases if not p.startswith("=")))


def _words(text: str) -> str:
    return _NOT_WORDS.sub(" ", text.lower()).strip()


@lru_cache(maxsize=16)
def _pattern(phrases: tuple[str, ...]) -> re.Pattern[str]:
    whole = "|".join(re.escape(_words(p)) for p in phrases if p.startswith("="))
    within = "|".join(re.escape(_words(p)) for p in phrases if not p.startswith("="))
    parts = [rf"^(?:{whole})$"] if whole else []
    parts += [rf"\b(?:{within})s?\b"] if within else []
    return re.compile("|".join(parts))
