"""Refusals by rule: patterns anybody can read, beside a judge that nobody can look into."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Final

from humpback_pipeline.generation.refusals import is_refusal

PATTERNS_FILE: Final = Path(__file__).with_name("safety_refusals.txt")
OPENING_CHARS: Final = 300
_CANNOT: Final = (
    "(?:cannot|can not|can't|won't|will not|'m unable to|am unable to|'m not able to|am not able to"
    "|'m afraid i can't|am afraid i cannot|must not)"
)


def refuses(answer: str) -> bool:
    """Whether an answer opens as a refusal, by safety_refusals.txt or generation's refusals.txt.

    It cannot see a refusal in other words, nor help that follows after one.
    """
    opening = " ".join(answer[:OPENING_CHARS].replace("\u2019", "'").split())
    return is_refusal(answer) or _pattern().search(opening) is not None


@cache
def _pattern() -> re.Pattern[str]:
    lines = PATTERNS_FILE.read_text(encoding="utf-8").splitlines()
    kept = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return re.compile("|".join(line.replace("CAN'T", _CANNOT) for line in kept), re.IGNORECASE)
