"""The paper's filters on segments, each one a function from a segment to a drop reason or None.

Li et al. (2023), section 2.1 and appendix: length, repeated sentences, empty header, text in
capitals, header in capitals, navigation headers; and the language.
"""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from humpback_pipeline.web.navigation import is_navigation_header, load_navigation_headers
from humpback_pipeline.web.prose import prose_lines, sentences, words
from humpback_pipeline.web.records import Segment

NGram = tuple[str, ...]
_ASCII: Final = bytes(range(128))
_ASCII_CAPITALS: Final = string.ascii_uppercase.encode()
_ASCII_SMALL: Final = string.ascii_lowercase.encode()


@dataclass(frozen=True, slots=True)
class FilterThresholds:
    """When a segment is dropped.

    min_chars, max_chars: length of `text`. max_repeated_share: of a segment's sentences, the share
    that may nearly repeat an earlier one, that is with Jaccard similarity of word n-grams
    (`repeat_ngram`) of at least `repeat_similarity`; sentences under `repeat_min_words` words,
    code and table rows do not count; where a script has no spaces, each character is a word.
    text_capitals, header_capitals: share of capitals among letters above which a text or header
    counts as written in capitals, so 1.0 turns the filter off. languages: those wanted, None for
    any. The paper states only the lengths; the other numbers are this project's.
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
    has_word = any(character.isalnum() for character in segment.header)
    return None if has_word else "empty_header"


def filter_navigation_header(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a segment under a header of navigation or promotion (navigation_header)."""
    found = is_navigation_header(segment.header, thresholds.navigation_headers)
    return "navigation_header" if found else None


def filter_header_capitals(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a segment whose header is mostly in capitals (header_capitals)."""
    share = capital_share(segment.header)
    return "header_capitals" if share > thresholds.header_capitals else None


def filter_uppercase_text(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a text that is all in capitals (uppercase_text)."""
    return "uppercase_text" if capital_share(segment.text) > thresholds.text_capitals else None


def filter_repeated_sentences(segment: Segment, thresholds: FilterThresholds) -> str | None:
    """Drop a text with too many sentences that nearly repeat another (repeated_sentences)."""
    share = repeated_sentence_share(
        segment.text,
        thresholds.repeat_ngram,
        thresholds.repeat_similarity,
        thresholds.repeat_min_words,
    )
    return "repeated_sentences" if share > thresholds.max_repeated_share else None


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


def capital_share(text: str) -> float:
    """Share of capitals among the letters that have case; 0.0 where none has (Chinese, Arabic)."""
    # ASCII's letters, nearly all of most texts, are counted without a look at each one.
    data = text.encode("utf-8", "ignore")
    others = data.translate(None, _ASCII).decode()
    n_capitals = len(data) - len(data.translate(None, _ASCII_CAPITALS))
    n_capitals += sum(map(str.isupper, others))
    n_cased = n_capitals + len(data) - len(data.translate(None, _ASCII_SMALL))
    n_cased += sum(map(str.islower, others))
    return n_capitals / n_cased if n_cased else 0.0


def repeated_sentence_share(text: str, ngram: int, similarity: float, min_words: int) -> float:
    """Share of a Markdown text's sentences that nearly repeat an earlier one.

    Only sentences of at least `min_words` words count, and none in code or tables; 0.0 where there
    is no such sentence. Nearly: Jaccard similarity of their sets of word n-grams of at least
    `similarity`. A sentence of fewer words than `ngram` is one n-gram.
    """
    prose = "\n".join(line.text for line in prose_lines(text))
    grams = [
        _ngrams(found, ngram)
        for sentence in sentences(prose.lower())
        if len(found := words(sentence)) >= max(min_words, 1)
    ]
    return count_repeats(grams, similarity) / len(grams) if grams else 0.0


def count_repeats(sets: Sequence[frozenset[NGram]], similarity: float) -> int:
    """Count the sets with an earlier one of Jaccard similarity of at least `similarity`.

    Like comparing all pairs, but only pairs that share an n-gram are looked at.
    """
    if similarity <= 0.0:
        return max(len(sets) - 1, 0)
    if not _may_repeat(sets, similarity):
        return 0
    holders: dict[NGram, list[int]] = {}
    distinct: set[frozenset[NGram]] = set()
    n_repeats = 0
    for index, grams in enumerate(sets):
        if grams in distinct:  # an equal set is in the index already
            n_repeats += 1
            continue
        shared = [holders[gram] for gram in grams if gram in holders]
        # A similarity of s takes at least s·n of n common n-grams.
        if len(shared) >= math.floor(similarity * len(grams)):
            overlaps = Counter(earlier for found in shared for earlier in found)
            n_repeats += any(
                overlap / (len(grams) + len(sets[earlier]) - overlap) >= similarity
                for earlier, overlap in overlaps.items()
            )
        distinct.add(grams)
        for gram in grams:
            holders.setdefault(gram, []).append(index)
    return n_repeats


def _may_repeat(sets: Sequence[frozenset[NGram]], similarity: float) -> bool:
    """Whether any set has as many n-grams in common with all before it as one of them needs to.

    Few texts have such a set, and this takes a fifth of the time of finding which.
    """
    seen: set[NGram] = set()
    for grams in sets:
        if seen and len(grams & seen) >= math.floor(similarity * len(grams)):
            return True
        seen |= grams
    return False


def _ngrams(found: list[str], n: int) -> frozenset[NGram]:
    if len(found) <= n:
        return frozenset((tuple(found),))
    return frozenset(zip(*(found[i:] for i in range(n)), strict=False))
