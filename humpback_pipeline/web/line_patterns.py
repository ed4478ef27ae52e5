"""Wordings of lines that no article needs: bylines, credits, sharing, consent, teasers.

The expressions stand in line_patterns.txt, which tells their format.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from humpback_pipeline.web.line_gate import LineExpressions

_FILE: Final = Path(__file__).with_name("line_patterns.txt")
_REFERENCE: Final = re.compile(r"<(\w+)>")


def _read() -> dict[str, list[str]]:
    """Expressions by kind, references to words resolved."""
    words: dict[str, str] = {}
    kinds: dict[str, list[str]] = {}
    kind = ""
    for number, raw in enumerate(_FILE.read_text(encoding="utf-8").splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith("# ") or line == "#":
            continue
        if re.fullmatch(r"\[\w+\]", line):
            kind = line[1:-1]
            continue
        try:
            if kind == "words":
                name, _, expression = line.partition(" = ")
                words[name] = _REFERENCE.sub(lambda match: words[match[1]], expression)
            else:
                kinds.setdefault(kind, []).append(
                    _REFERENCE.sub(lambda match: words[match[1]], line)
                )
                re.compile(kinds[kind][-1], re.IGNORECASE)
        except (KeyError, re.error) as error:
            raise ValueError(f"{_FILE.name}, line {number}: {error}") from error
        if kind == "lead":
            words["lead"] = f"(?:{'|'.join(kinds['lead'])})"
    return kinds


_EXPRESSIONS: Final = _read()
_PATTERNS: Final = {
    kind: re.compile("|".join(f"(?:{line})" for line in lines), re.IGNORECASE)
    for kind, lines in _EXPRESSIONS.items()
    if kind not in ("line", "promotion")
}
# Promotions among them.
BOILERPLATE_LINE: Final = LineExpressions(_EXPRESSIONS["line"] + _EXPRESSIONS["promotion"])
PROMOTION_LINE: Final = LineExpressions(_EXPRESSIONS["promotion"])
CONSENT_LINE: Final = _PATTERNS["consent"]
DATE_LINE: Final = _PATTERNS["date"]
BYLINE: Final = _PATTERNS["byline"]
CREDIT: Final = _PATTERNS["credit"]
TEASER_LEAD: Final = re.compile(rf"(?:{_PATTERNS['lead'].pattern})\s*[:»>…]*", re.IGNORECASE)
TEASER_LINE: Final = _PATTERNS["teaser"]
SEQUEL_LINE: Final = _PATTERNS["sequel"]
POINTER_LINE: Final = _PATTERNS["pointer"]
CALL_TO_ACTION: Final = _PATTERNS["call"]
CLICK_HERE: Final = _PATTERNS["click"]
# What only a consent banner says beside "uses cookies"; a manual's section on cookies does not.
CONSENT_WORDS: Final = re.compile(
    r"\b(?:consent|accept|agree|opt[- ]?out|your experience|by (?:using|continuing)|ok\b|"
    r"zustimm|einverstanden|stimmen sie|mehr (?:infos|erfahren)|weitere informationen|"
    r"datenschutz|akceptuj|zgod|acept|navegando|poursuivant|nutzung unserer)",
    re.IGNORECASE,
)
