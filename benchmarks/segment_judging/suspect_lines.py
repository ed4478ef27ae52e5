"""Lines of a segment that look boilerplate, by an annotator's checklist of wordings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

# An annotator's checklist. A line is suspect when a "whole" wording is all of it, or when it is
# short and holds one of the others; code, tables and headings that head the segment are not asked.
_WHOLE: Final = re.compile(
    r"""(?x)
    (?:share|share\ this.*|tweet|print|e-?mail|like|follow|follow\ us.*|subscribe|teilen|merken
      |home|menu|search|archives?|log\ ?in|sign\ ?(?:in|up)|register|donate|feedback|next|previous
      |advertisement|anzeige|werbung|sponsored|loading.*|members|online|tags?|related.*
      |(?:\d+\ )?(?:comments?|kommentare|shares?|views?|likes?)
      |read\ (?:more|also|next)|also\ read|see\ also|more\ (?:from|on|stories).*|lesen\ sie\ auch
      |mehr\ zum\ thema|zum\ thema|lesetipps?|auch\ interessant|weiterlesen
      |you\ (?:may|might)\ also.*
      |(?:by|von|por|par)\ (?-i:[A-ZÄÖÜ]\w+(?:[ -][A-ZÄÖÜ][\w.]+){1,3})(?:[ |,].{0,40})?
      |(?:posted|published|updated|veröffentlicht|erschienen)\b.{0,60}\d{4}.{0,20}
      |(?:\w+day,?\ )?(?:\d{1,2}[./]\d{1,2}[./]\d{4}|\d{1,2}\.?\ \w{3,9}\ \d{4}
        |\w{3,9}\ \d{1,2},\ \d{4})(?:[ ,|-]+\d{1,2}[:.]\d\d.{0,12})?
      |(?:image|photo|picture|bild|foto|video)s?(?:\ credit)?\ ?[:/].{1,60}
      |(?:getty\ images|reuters|shutterstock|istock.*|dpa|ap|afp|pixabay)
      |photograph(?:s|ed)?\ by\ .{3,60}
      |(?:abgelegt|eingeordnet|posted|filed|tagged)\ (?:unter|in|under|as)\b.*)
    [.:!»>…]*
    """,
    re.IGNORECASE,
)
_HELD: Final = re.compile(
    r"""(?x)
    \b(?:this|our|diese)\ (?:web)?(?:site|seite)\ (?:uses|verwendet|nutzt)\ cookies
    |\bwe\ use\ cookies|\bwir\ verwenden\ cookies|datenschutzerklärung
    |\b(?:sign\ up|subscribe|anmeld\w+|abonnier\w+)\b.{0,80}\bnewsletter
    |\bnewsletter\b.{0,60}\b(?:sign\ up|subscribe|anmelden|abonnieren)
    |\bsubscribe\ (?:now|to\ (?:our|the)|today)
    |\bfollow\ (?:us|me|@\w+)\b.{0,60}\b(?:twitter|facebook|instagram|youtube)
    |\b(?:like|find)\ us\ on\ facebook|\bshare\ (?:this|it)\ (?:with|on|story|article)
    |all\ rights\ reserved|alle\ rechte\ vorbehalten|©\s?\d{4}|copyright\ ©
    |\bleave\ a\ (?:reply|comment)|\bpost\ a\ comment|\bcomment\ below|\bcomments\ are\ closed
    |\b(?:read|see)\ (?:more|also|next)\s?:|\blesen\ sie\ auch|\bmehr\ zum\ thema|\blea\ también
    |\bmore\ stories\b|\brecommended\ (?:for\ you|articles)
    |\byou\ may\ also\ (?:like|be\ interested)
    |\baffiliate\ (?:links?|commission)|\bmay\ earn\ (?:a|an)\b.{0,20}commission
    |\b(?:click|klicken\ sie)\ (?:here|hier)\ to\ (?:report|subscribe|read|join)
    |\boriginally\ (?:published|appeared)\ (?:on|in|at)|\badapted\ from\ its\ original
    |\bnot\ responsible\ for\ the\ opinions|\bdownload\ (?:our|the)\b.{0,40}\bapp\b
    |\bjetzt\ (?:kaufen|bestellen|abonnieren|anmelden)|\bzzgl\.\ versand|\bback\ to\ top
    |\b(?:main\ )?(?:image|photo)\ credits?\s?:|\bread\ full\ article|\bkeep\ up\ with\ me\ on
    |\bour\ youtube\ channel|\bto\ our\ (?:twitter|facebook)|\[/?button
    |\bthis\ thread\ is\ archived|\d%\ upvoted|^also\ on\ \S+\.\w+
    """,
    re.IGNORECASE,
)
_MAX_HELD_CHARS: Final = 400
_MARKS: Final = re.compile(r"[*_`]+|^\s*(?:>\s*|[-+]\s+|\d+\.\s+|#{1,6}\s+)+")


@dataclass(slots=True)
class Suspects:
    """n segments, n_suspect of them with a suspect line; some of those lines as examples."""

    n: int = 0
    n_suspect: int = 0
    examples: list[str] | None = None

    @property
    def share(self) -> float:
        """Share of segments with a suspect line."""
        return self.n_suspect / self.n if self.n else 0.0


def suspects(texts: Iterable[str], n_examples: int = 10) -> Suspects:
    """Count the segments that hold a suspect line."""
    found = Suspects(examples=[])
    for text in texts:
        lines = boilerplate_lines(text)
        found.n += 1
        found.n_suspect += bool(lines)
        if lines and found.examples is not None and len(found.examples) < n_examples:
            found.examples.append(lines[0][:120])
    return found


def boilerplate_lines(text: str) -> list[str]:
    """Return the lines of a segment that a strict annotator would ask about."""
    found: list[str] = []
    for number, line in enumerate(_prose_lines(text)):
        plain = _MARKS.sub("", line).strip()
        if not plain or (number == 0 and line.startswith("#")):
            continue
        if _WHOLE.fullmatch(plain) or (len(plain) <= _MAX_HELD_CHARS and _HELD.search(plain)):
            found.append(line.strip())
    return found


def _prose_lines(text: str) -> Iterator[str]:
    in_code = False
    for line in text.split("\n"):
        if line.lstrip("> ").startswith("```"):
            in_code = not in_code
        elif not in_code and not line.lstrip("> ").startswith("|"):
            yield line
