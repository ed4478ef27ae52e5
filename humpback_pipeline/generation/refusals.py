"""Refusals: what a tuned model says in place of an instruction, in several languages."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

PATTERNS_FILE: Final = Path(__file__).with_suffix(".txt")
_CANNOT: Final = (
    "(?:cannot|can not|can't|won't|will not|'m unable to|am unable to|'m not able to|am not able to"
    "|'m afraid i can't|am afraid i cannot)"
)
_OPENING_CHARS: Final = 300
_QUOTES_AND_MARKS: Final = "\"'“”«*_> "


def is_refusal(text: str) -> bool:
    """Whether a text opens as a model's refusal to answer, by the patterns in refusals.txt."""
    opening = " ".join(text[:_OPENING_CHARS].replace("\u2019", "'").split())
    return _pattern().match(opening.lstrip(_QUOTES_AND_MARKS)) is not None


@cache
def _pattern() -> re.Pattern[str]:
    lines = PATTERNS_FILE.read_text(encoding="utf-8").splitlines()
    kept = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return re.compile("|".join(line.replace("CAN'T", _CANNOT) for line in kept), re.IGNORECASE)
