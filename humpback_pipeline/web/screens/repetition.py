"""How much of a text repeats itself: lines, paragraphs and runs of words.

Rae et al. (2021), *Scaling Language Models: Methods, Analysis & Insights from Training Gopher*,
appendix A1.1, table A1. As in datatrove's GopherRepetitionFilter, a repeat is each occurrence after
the first, and runs of words that overlap count once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

TOP_NGRAMS: Final = (2, 3, 4)
DUPLICATE_NGRAMS: Final = (5, 6, 7, 8, 9, 10)


@dataclass(frozen=True, slots=True)
class RepetitionStatistics:
    """Shares in [0, 1].

    duplicate_lines, duplicate_paragraphs: of all lines or paragraphs, those that stood before;
    …_chars: the same of their characters. top_ngram_chars: n → share of the characters in
    the most frequent run of n words (0.0 if none occurs twice). duplicate_ngram_chars: n → share
    in runs of n words that stood before.
    """

    duplicate_lines: float
    duplicate_line_chars: float
    duplicate_paragraphs: float
    duplicate_paragraph_chars: float
    top_ngram_chars: dict[int, float]
    duplicate_ngram_chars: dict[int, float]


def repetition_statistics(
    lines: Sequence[str], paragraphs: Sequence[str], words: Sequence[str], n_chars: int
) -> RepetitionStatistics:
    """Measure the repetition in a text given as its lines, paragraphs and words.

    n_chars: characters, white space left out, that the runs of words are a share of.
    """
    line_share, line_chars = _duplicates(lines)
    paragraph_share, paragraph_chars = _duplicates(paragraphs)
    n_chars = max(n_chars, sum(map(len, words)), 1)
    lengths = [len(word) for word in words]
    top = {n: _top_chars(_ngrams(words, n)) / n_chars for n in TOP_NGRAMS}
    repeated = dict.fromkeys(DUPLICATE_NGRAMS, 0.0)
    for n in DUPLICATE_NGRAMS:
        chars = _duplicate_chars(_ngrams(words, n), lengths, n)
        if not chars:
            break  # where no run of n words repeats, no longer one does
        repeated[n] = chars / n_chars
    return RepetitionStatistics(
        line_share, line_chars, paragraph_share, paragraph_chars, top, repeated
    )


def _duplicates(elements: Sequence[str]) -> tuple[float, float]:
    """Share of the elements that stood before, by number and by characters."""
    seen: set[str] = set()
    n_repeats = chars = 0
    for element in elements:
        if element in seen:
            n_repeats += 1
            chars += len(element)
        seen.add(element)
    return n_repeats / (len(elements) or 1), chars / (sum(map(len, elements)) or 1)


def _ngrams(words: Sequence[str], n: int) -> list[tuple[str, ...]]:
    return list(zip(*(words[i:] for i in range(n)), strict=False))


def _top_chars(ngrams: list[tuple[str, ...]]) -> int:
    if not ngrams:
        return 0
    # Of equally frequent runs the longest counts, so that the order of words does not matter.
    counts = Counter(ngrams)
    most = max(counts.values())
    if most < 2:
        return 0
    return most * max(sum(map(len, gram)) for gram, count in counts.items() if count == most)


def _duplicate_chars(ngrams: list[tuple[str, ...]], lengths: list[int], n: int) -> int:
    if len(set(ngrams)) == len(ngrams):
        return 0
    seen: set[tuple[str, ...]] = set()
    chars = covered = 0
    for start, gram in enumerate(ngrams):
        if gram in seen:
            chars += sum(lengths[max(start, covered) : start + n])
            covered = start + n
        seen.add(gram)
    return chars
