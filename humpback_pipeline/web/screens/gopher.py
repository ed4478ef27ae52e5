"""Gopher's quality statistics and rules, for segments instead of pages.

Rae et al. (2021), *Scaling Language Models: Methods, Analysis & Insights from Training Gopher*,
appendix A1.1; the numbers are theirs. Adapted to Markdown segments: code blocks, tables and
Markdown's own marks are left out; the limits on a document's length are left to the paper's own
600–3,000 characters, and a text with fewer words than Gopher's least (50) is not judged. Runs of
words are a share of the whole segment, so that little prose beside a table is no repetition.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from humpback_pipeline.web.prose import ProseLine, prose_lines, unspaced_share, words
from humpback_pipeline.web.screens.repetition import (
    DUPLICATE_NGRAMS,
    TOP_NGRAMS,
    RepetitionStatistics,
    repetition_statistics,
)
from humpback_pipeline.web.screens.rules import Rule

# "It must contain at least two of the following English words"; the paper has no other language.
STOP_WORDS: Final = {
    "en": frozenset({"the", "be", "to", "of", "and", "that", "have", "with"}),
}
_MIN_WORDS: Final = 50
_ELLIPSES: Final = ("...", "…")
# Above this share of characters of scripts without spaces, counting words by spaces says nothing.
_MAX_UNSPACED_SHARE: Final = 0.2


@dataclass(frozen=True, slots=True)
class GopherStatistics:
    """What the rules look at, of a text's prose.

    n_words: separated by white space. mean_word_chars, letter_word_share (words with a letter):
    None for scripts without spaces. hashes_per_word, ellipses_per_word: signs for each word.
    bullet_line_share, ellipsis_line_share: lines that begin with a bullet, end with an ellipsis.
    n_stop_words: how many of STOP_WORDS occur, None for a language without a list.
    """

    n_words: int
    mean_word_chars: float | None
    letter_word_share: float | None
    hashes_per_word: float
    ellipses_per_word: float
    bullet_line_share: float
    ellipsis_line_share: float
    n_stop_words: int | None
    repetition: RepetitionStatistics


def gopher_statistics(
    text: str, language: str | None, lines: Sequence[ProseLine] | None = None
) -> GopherStatistics:
    """Measure a segment's Markdown; language is a two-letter code, `lines` its prose_lines."""
    lines = prose_lines(text) if lines is None else lines
    filled = [line for line in lines if line.text]
    prose = "\n".join(line.text for line in filled)
    spaced = prose.split()
    n_words = len(spaced)
    is_unspaced = unspaced_share(prose) > _MAX_UNSPACED_SHARE
    tokens = words(prose.lower())
    listed = STOP_WORDS.get(language or "")
    body = [line.text for line in filled if line.kind != "heading"]
    return GopherStatistics(
        n_words=n_words,
        mean_word_chars=None if is_unspaced else _mean_chars(spaced),
        letter_word_share=None if is_unspaced else _letter_share(spaced),
        hashes_per_word=prose.count("#") / max(n_words, 1),
        ellipses_per_word=sum(prose.count(sign) for sign in _ELLIPSES) / max(n_words, 1),
        bullet_line_share=_share([line.kind == "bullet" for line in filled]),
        ellipsis_line_share=_share([line.endswith(_ELLIPSES) for line in body]),
        n_stop_words=None if listed is None else len(listed.intersection(tokens)),
        repetition=repetition_statistics(
            body, _paragraphs(lines), tokens, len("".join(text.split()))
        ),
    )


def _rules() -> tuple[Rule[GopherStatistics], ...]:
    """The table: names, bounds; in the order applied."""

    def repeated(name: str, maximum: float) -> Rule[GopherStatistics]:
        return Rule(name, lambda s: _judged(s, getattr(s.repetition, name)), maximum=maximum)

    def top(n: int, maximum: float) -> Rule[GopherStatistics]:
        return Rule(
            f"top_{n}gram", lambda s: _judged(s, s.repetition.top_ngram_chars[n]), maximum=maximum
        )

    def duplicate(n: int, maximum: float) -> Rule[GopherStatistics]:
        return Rule(
            f"duplicate_{n}grams",
            lambda s: _judged(s, s.repetition.duplicate_ngram_chars[n]),
            maximum=maximum,
        )

    return (
        Rule("word_length", lambda s: _judged(s, s.mean_word_chars), minimum=3.0, maximum=10.0),
        Rule("hash_signs", lambda s: _judged(s, s.hashes_per_word), maximum=0.1),
        Rule("ellipses", lambda s: _judged(s, s.ellipses_per_word), maximum=0.1),
        Rule("bullet_lines", lambda s: _judged(s, s.bullet_line_share), maximum=0.9),
        Rule("ellipsis_lines", lambda s: _judged(s, s.ellipsis_line_share), maximum=0.3),
        Rule("letters", lambda s: _judged(s, s.letter_word_share), minimum=0.8),
        Rule("stop_words", lambda s: _judged(s, s.n_stop_words), minimum=2),
        repeated("duplicate_lines", 0.3),
        repeated("duplicate_line_chars", 0.2),
        repeated("duplicate_paragraphs", 0.3),
        repeated("duplicate_paragraph_chars", 0.2),
        *(top(n, most) for n, most in zip(TOP_NGRAMS, (0.20, 0.18, 0.16), strict=True)),
        *(
            duplicate(n, most)
            for n, most in zip(DUPLICATE_NGRAMS, (0.15, 0.14, 0.13, 0.12, 0.11, 0.10), strict=True)
        ),
    )


def _judged(statistics: GopherStatistics, value: float | None) -> float | None:
    """The value, where there are words enough to judge; scripts without spaces have no count."""
    is_spaced = statistics.mean_word_chars is not None
    return None if is_spaced and statistics.n_words < _MIN_WORDS else value


GOPHER_RULES: Final = _rules()


def _mean_chars(spaced: list[str]) -> float:
    bare = [word for token in spaced if (word := token.strip("*_`.,;:!?\"'()[]{}<>|“”‘’«»"))]
    return sum(map(len, bare)) / len(bare) if bare else 0.0


def _letter_share(spaced: list[str]) -> float:
    return _share([token.isalpha() or any(map(str.isalpha, token)) for token in spaced])


def _share(flags: list[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0


def _paragraphs(lines: Sequence[ProseLine]) -> list[str]:
    groups = groupby(lines, key=lambda line: bool(line.text) and line.kind != "heading")
    return ["\n".join(line.text for line in group) for is_text, group in groups if is_text]
