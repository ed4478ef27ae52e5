"""Wordings of lines that no article needs: bylines, credits, sharing, consent, teasers.

The expressions stand in line_patterns.txt, which tells their format.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_FILE: Final = Path(__file__).with_name("line_patterns.txt")
_REFERENCE: Final = re.compile(r"<(\w+)>")


def _read() -> dict[str, re.Pattern[str]]:
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
                re.compile(kinds[kind][-1])
        except (KeyError, re.error) as error:
            raise ValueError(f"{_FILE.name}, line {number}: {error}") from error
        if kind == "lead":
            words["lead"] = f"(?:{'|'.join(kinds['lead'])})"
    return {
        kind: re.compile("|".join(f"(?:{line})" for line in lines), re.IGNORECASE)
        for kind, lines in kinds.items()
    }


_PATTERNS: Final = _read()
BOILERPLATE_LINE: Final = _PATTERNS["line"]
PROMOTION_LINE: Final = _PATTERNS["promotion"]
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
# One of these is in every line that PROMOTION_LINE can match, as in the lines of the next.
PROMOTION_WORDS: Final = (
    "subscri", "sign up", "newsletter", "inbox", "letterbox", "follow", "like us", "join us",
    "miss", "stay up", "keep up", "be sure to", "enjoyed", "folg", "abonniere", "guenos",
    "siga-nos", "suivez-nous", "um regelm", "listen to", "the latest", "download our", "next:",
    "previous:",
)  # fmt: skip
# One of these is in every long line that a pattern can match; looking for them is far quicker.
LONG_LINE_WORDS: Final = (
    "cookie", "comment", "kommentar", "coment", "©", "copyright", "rights reserved",
    "newsletter", "inbox", "subscribe", "affiliate", "commission", "publish", "appear", "adapted",
    "syndicated", "reprinted", "responsible for", "expressed", "of this site", "of this website",
    "sofern nicht", "block", "twitter", "facebook", "instagram", "youtube", "telegram",
    "whatsapp", "podcast", "rss", "for the latest", "behält sich", "link=", "posted", "wurde",
    "abgelegt", "eingeordnet", "tag", "categor", "kategorie", "topics", "themen", "schlagw",
    "hier", "here", "letterbox", "rechte vorbehalten", "verantwortlich", "(c)", "dowiedz",
    "etiquetas", "mots-clés",
)  # fmt: skip
