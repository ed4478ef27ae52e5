"""The paper's filters on segments, each one a function from a segment to a drop reason or None.

Li et al. (2023), section 2.1 and appendix: length, repeated sentences, empty header, text in
capitals, header in capitals, navigation headers; and the language.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from humpback_pipeline.web.navigation import is_navigation_header, load_navigation_headers
from humpback_pipeline.web.records import Segment

_FENCED_CODE: Final = re.compile(r"^\s*(`{3,}).*?^\s*\1\s*$", re.DOTALL | re.MULTILINE)
_TABLE_ROW: Final = re.compile(r"^\s*(?:> )*\|.*$", re.MULTILINE)
_SENTENCE_END: Final = re.compile(r"(?<=[.!?。！？])\s+|\n+")
_WORD: Final = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class FilterThresholds:
    """When a segment is dropped.

    min_chars, max_chars: length of `text`. max_repeated_share: of a segment's sentences, the share
    that may nearly repeat an earlier one, that is with Jaccard similarity of word n-grams
    (`repeat_ngram`) of at least `repeat_similarity`; sentences under `repeat_min_words` words,
    code and table rows do not count. text_capitals, header_capitals: share of capitals among
    letters from which a text or header counts as written in capitals. languages: those wanted,
    None for any. The paper states only the lengths; the other numbers are this project's.
    """

    min_chars: int = 600
    max_chars: int = 3_000
    repeat_ngram: int = 3
    repeat_similarity: float = 0.7
    repeat_min_words: int = 6
    max_repeated_share: float = 0.1
    text_capitals: float = 0.9
    header_capitals: float = 0.7
    languages: tuple[str, ...] | None = ("en",)
    navigation_headers: tuple[str, ...] = field(default_factory=load_navigation_headers)


Filter = Callable[[Segment, FilterThresholds], str | None]


def filter_length(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a text shorter (too_short) or longer (too_long) than allowed."""
    if len(segment.text) < thresholds.min_chars:
        return "too_short"
    return "too_long" if len(segment.text) > thresholds.max_chars else None


def filter_empty_header(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a segment whose header has no letter or digit (empty_header)."""
    return None if _WORD.search(segment.header) else "empty_header"


def filter_navigation_header(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a segment under a header of navigation or promotion (navigation_header)."""
    found = is_navigation_header(segment.header, thresholds.navigation_headers)
    return "navigation_header" if found else None


def filter_header_capitals(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a segment whose header is mostly in capitals (header_capitals)."""
    share = _capital_share(segment.header)
    return "header_capitals" if share >= thresholds.header_capitals else None


def filter_uppercase_text(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a text that is all in capitals (uppercase_text)."""
    return "uppercase_text" if _capital_share(segment.text) >= thresholds.text_capitals else None


def filter_repeated_sentences(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a text with too many sentences that nearly repeat another (repeated_sentences)."""
    prose = _TABLE_ROW.sub("", _FENCED_CODE.sub("", segment.text))
    sentences = [
        _ngrams(words, thresholds.repeat_ngram)
        for sentence in _SENTENCE_END.split(prose)
        if len(words := _WORD.findall(sentence.lower())) >= thresholds.repeat_min_words
    ]
    repeats = sum(
        any(_jaccard(sentence, earlier) >= thresholds.repeat_similarity for earlier in before)
        for index, sentence in enumerate(sentences)
        if (before := sentences[:index])
    )
    too_many = repeats > thresholds.max_repeated_share * len(sentences)
    return "repeated_sentences" if too_many else None


def filter_language(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a segment in another language than those wanted (language)."""
    wanted = thresholds.languages
    return "language" if wanted is not None and segment.language not in wanted else None


# In the order applied: the first reason found is the one counted.
FILTERS: Final[tuple[Filter, ...]] = (
    filter_length,
    filter_empty_header,
    filter_navigation_header,
    filter_header_capitals,
    filter_uppercase_text,
    filter_language,
    filter_repeated_sentences,
)


def drop_reason(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Return why the first of FILTERS to object drops this segment, or None to keep it."""
    reasons = (rule(segment, thresholds) for rule in FILTERS)
    return next((reason for reason in reasons if reason), None)


def _capital_share(text: str) -> float:
    cased = [character for character in text if character.isupper() or character.islower()]
    return sum(character.isupper() for character in cased) / len(cased) if cased else 0.0


def _ngrams(words: list[str], n: int) -> frozenset[tuple[str, ...]]:
    return frozenset(zip(*(words[i:] for i in range(n)), strict=False))


def _jaccard(a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared) if a or b else 0.0
