"""C4's cleaning rules, as rules on a whole segment.

Raffel et al. (2020), *Exploring the Limits of Transfer Learning with a Unified Text-to-Text
Transformer*, section 2.2; numbers of their paper (5 words, 3 sentences) and phrases of their
published code (`c4_utils.py` of TensorFlow Datasets; datatrove's C4QualityFilter).

C4 takes lines out of a page: those without a final mark or with under five words, those that
mention Javascript (meant: warnings to switch it on), those about cookies and terms of use. Lines
taken out of a Markdown segment would leave headings and lists without their text, so here the
segment is dropped where such lines are too large a share of its characters; these shares are this
project's. Headings, list items, tables, code blocks and code spans are no prose and not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from humpback_pipeline.web.prose import (
    ProseLine,
    prose_lines,
    sentences,
    unspaced_share,
)
from humpback_pipeline.web.screens.rules import Rule

_MIN_LINE_WORDS: Final = 5
# C4's . ! ? " and their like in other scripts; a colon leads to the list or code that follows.
_END_MARKS: Final = (".", "!", "?", ":", "。", "！", "？", "｡", "：", "؟", "۔", "।", "॥")
_CLOSING: Final = "\"'”’»」』)）]*_ "
_ELLIPSIS: Final = ("...", "…")
_CODE_SPAN: Final = re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)")
_JAVASCRIPT_WARNING: Final = re.compile(
    r"\b(?:enable|activate|turn(?:ed)? on|switch(?:ed)? on|allow|requires?|needs?|without|disabled|"
    r"(?:does|do) not support|doesn['’]t support|not supported)\b.{0,60}\bjava ?script\b|"
    r"\bjava ?script\b.{0,60}\b(?:enabled|disabled|turned (?:on|off)|switched (?:on|off)|"
    r"required|not (?:available|supported))\b",
    re.IGNORECASE,
)
_POLICY: Final = re.compile(
    r"terms of use|privacy policy|cookie policy|uses cookies|use of cookies|use cookies",
    re.IGNORECASE,
)
_LOREM_IPSUM: Final = re.compile(r"\blorem\s+ipsum\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class C4Statistics:
    """What the rules look at.

    Shares are of all characters but headings', code and tables included: unpunctuated_share, in
    prose lines that C4 would take out for their end or their few words; javascript_share,
    policy_share, in lines with a warning about Javascript, or about policies and cookies.
    n_sentences: in the prose lines C4 would keep; None where lists, code or tables stand beside
    them. n_curly_brackets: in prose, outside code spans. has_lorem_ipsum: anywhere.
    """

    unpunctuated_share: float
    javascript_share: float
    policy_share: float
    n_sentences: int | None
    n_curly_brackets: int
    has_lorem_ipsum: bool


def c4_statistics(text: str, lines: Sequence[ProseLine] | None = None) -> C4Statistics:
    """Measure a segment's Markdown; `lines` are its prose_lines, if they are at hand."""
    lines = prose_lines(text) if lines is None else lines
    prose = [line.text for line in lines if line.kind == "text" and _is_prose(line.text)]
    n_headings = sum(len(line.text) for line in lines if line.kind == "heading")
    n_chars = max(len(text) - n_headings, 1)
    kept = [line for line in prose if _is_punctuated(line)]
    running = [line.text for line in lines if line.kind != "heading"]
    only_prose = n_chars <= 1.2 * sum(map(len, prose))
    return C4Statistics(
        unpunctuated_share=(_chars(prose) - _chars(kept)) / n_chars,
        javascript_share=_chars(line for line in running if _warns(line)) / n_chars,
        policy_share=_chars(line for line in running if _POLICY.search(line)) / n_chars,
        n_sentences=sum(len(sentences(line)) for line in kept) if only_prose else None,
        n_curly_brackets=sum(_curly_brackets(line) for line in prose),
        has_lorem_ipsum=bool(_LOREM_IPSUM.search(text)),
    )


C4_RULES: Final[tuple[Rule[C4Statistics], ...]] = (
    Rule("lorem_ipsum", lambda s: float(s.has_lorem_ipsum), maximum=0),
    Rule("curly_bracket", lambda s: s.n_curly_brackets, maximum=0),
    Rule("javascript", lambda s: s.javascript_share, maximum=0.1),
    Rule("policy", lambda s: s.policy_share, maximum=0.2),
    Rule("no_terminal_punctuation", lambda s: s.unpunctuated_share, maximum=0.5),
    Rule("few_sentences", lambda s: s.n_sentences, minimum=3),
)


def _is_prose(line: str) -> bool:
    """Not empty, and not a synopsis: "`git` `clone` [`--bare`]"."""
    if "`" not in line:
        return bool(line)
    return 2 * len(_CODE_SPAN.sub("", line)) > len(line)


def _is_punctuated(line: str) -> bool:
    end = line.rstrip(_CLOSING)
    if line.endswith(_ELLIPSIS) or not end.endswith(_END_MARKS):
        return False
    return len(line.split()) >= _MIN_LINE_WORDS or unspaced_share(line) > 0


def _warns(line: str) -> bool:
    return "script" in line.lower() and bool(_JAVASCRIPT_WARNING.search(line))


def _curly_brackets(line: str) -> int:
    return _CODE_SPAN.sub("", line).count("{") if "{" in line else 0


def _chars(lines: Iterable[str]) -> int:
    return sum(map(len, lines))
