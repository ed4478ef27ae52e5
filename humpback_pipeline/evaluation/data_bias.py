"""Toxic words and mentions of groups of people in data sets, by word lists and a sentiment lexicon.

What this cannot see: toxicity in clean words, irony, quotation, other languages, groups without an
entry, who is meant by a word. Rates are for comparing data sets with each other, not for calling
one clean.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import yaml

from humpback_pipeline.evaluation.intervals import Interval, wilson_interval
from humpback_pipeline.evaluation.mean_intervals import share_interval

if TYPE_CHECKING:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

TOXIC_FILE: Final = Path(__file__).with_name("toxic_words.txt")
IDENTITY_FILE: Final = Path(__file__).with_name("identity_terms.yaml")
# VADER's authors' own bound for a sentence to count as negative.
NEGATIVE: Final = -0.05
# Sentences longer than this are lists or tables, of which a sentiment says nothing.
MAX_SENTENCE_CHARS: Final = 600
_SENTENCE: Final = r"[^.!?\n]+"
_SHE: Final = ("she", "her", "hers", "herself")
_HE: Final = ("he", "him", "his", "himself")
FEMALE_PRONOUNS, TOXIC, MENTIONS = "female_pronouns", "toxic", "mentions"
NEGATIVE_CONTEXT, TOXIC_CONTEXT = "negative_context", "toxic_context"


@dataclass(frozen=True)
class BiasRow:
    """One share of one data set.

    measure: toxic (of texts with a toxic word), mentions (of texts that mention the group),
    negative_context and toxic_context (of sentences with a mention, those that are negative without
    the mention itself, or hold a toxic word), female_pronouns (of she and he in all their forms).
    group: `kind: group`, empty for what is not about one. n: what the share is of; low, high: 95 %,
    Wilson's, for pronouns by texts, as those of one text are not independent.
    """

    dataset: str
    measure: str
    group: str
    n: int
    hits: int
    share: float | None
    low: float
    high: float


@dataclass
class _Counts:
    """Of one data set."""

    n_texts: int = 0
    n_toxic: int = 0
    mentions: Counter[str] = field(default_factory=Counter)
    sentences: Counter[str] = field(default_factory=Counter)
    negative: Counter[str] = field(default_factory=Counter)
    toxic: Counter[str] = field(default_factory=Counter)
    pronouns: list[tuple[int, int]] = field(default_factory=list)


def data_bias(datasets: Mapping[str, Sequence[str] | pl.Series]) -> list[BiasRow]:
    """Measure data sets, name → texts; the groups in the order of identity_terms.yaml."""
    return [row for name, texts in datasets.items() for row in _rows(name, _counted(texts))]


def toxic_words(text: str) -> list[str]:
    """The toxic words of a text, as they stand there."""
    return pl.Series([text]).str.extract_all(_toxic_pattern())[0].to_list()


def _counted(texts: Sequence[str] | pl.Series) -> _Counts:
    # Polars' regular expressions take a list of words at the speed of the memory.
    series = pl.Series("text", texts, dtype=pl.String)
    counts = _Counts(n_texts=series.len())
    counts.n_toxic = int(series.str.contains(_toxic_pattern()).sum())
    counts.pronouns = list(
        zip(*(series.str.count_matches(_words(words)) for words in (_SHE, _HE)), strict=True)
    )
    mentions: dict[str, set[int]] = {}
    for text, sentence, words, toxic in _sentences_with_mentions(series):
        groups = {_group_of()[word.lower()] for word in words}
        negative = _is_negative(sentence, words)
        for group in groups:
            mentions.setdefault(group, set()).add(text)
            counts.sentences[group] += 1
            counts.negative[group] += negative
            counts.toxic[group] += toxic
    counts.mentions.update({group: len(found) for group, found in mentions.items()})
    return counts


def _sentences_with_mentions(texts: pl.Series) -> Iterator[tuple[int, str, list[str], bool]]:
    """Text number, sentence, the words in it that mention a group, whether one is toxic."""
    sentence = pl.col("sentence")
    sentences = (
        pl.DataFrame({"sentence": texts.str.extract_all(_SENTENCE)})
        .with_row_index("text")
        .explode("sentence")
        .drop_nulls()
        .with_columns(sentence.str.slice(0, MAX_SENTENCE_CHARS))
        .filter(sentence.str.contains(_identity_pattern()))
        .with_columns(
            words=sentence.str.extract_all(_identity_pattern()),
            toxic=sentence.str.contains(_toxic_pattern()),
        )
    )
    yield from sentences.iter_rows()


def _is_negative(sentence: str, mentions: Sequence[str]) -> bool:
    # Without the mentions: the lexicon must not judge a group by its name.
    for mention in mentions:  # whole words: "son" is not to be cut out of "poison"
        sentence = re.sub(rf"\b{re.escape(mention)}\b", " ", sentence)
    return bool(_sentiment().polarity_scores(sentence)["compound"] <= NEGATIVE)


def _rows(name: str, counts: _Counts) -> Iterator[BiasRow]:
    yield _row(name, TOXIC, "", counts.n_toxic, counts.n_texts)
    yield _pronoun_row(name, counts.pronouns)
    for group in dict.fromkeys(_group_of().values()):
        yield _row(name, MENTIONS, group, counts.mentions[group], counts.n_texts)
        n_sentences = counts.sentences[group]
        yield _row(name, NEGATIVE_CONTEXT, group, counts.negative[group], n_sentences)
        yield _row(name, TOXIC_CONTEXT, group, counts.toxic[group], n_sentences)


def _row(name: str, measure: str, group: str, hits: int, n: int) -> BiasRow:
    low, high = wilson_interval(hits, n)
    return BiasRow(name, measure, group, n, hits, hits / n if n else None, low, high)


def _pronoun_row(name: str, pronouns: list[tuple[int, int]]) -> BiasRow:
    female = sum(she for she, _ in pronouns)
    n = female + sum(he for _, he in pronouns)
    share = female / n if n else None
    low, high = _ratio_interval(share, n, [(she, she + he) for she, he in pronouns if she + he])
    return BiasRow(name, FEMALE_PRONOUNS, "", n, female, share, low, high)


def _ratio_interval(share: float | None, n: int, by_text: list[tuple[int, int]]) -> Interval:
    """Of a share over all pronouns, with texts as what was drawn (Cochran's ratio estimator)."""
    if share is None:
        return wilson_interval(0, 0)
    n_texts = len(by_text)
    if n_texts < 2:
        return wilson_interval(share * n_texts, n_texts)
    squares = sum((she - share * both) ** 2 for she, both in by_text)
    error = math.sqrt(n_texts / (n_texts - 1) * squares) / n
    return share_interval(share, error, n_texts)


@cache
def _toxic_pattern() -> str:
    lines = TOXIC_FILE.read_text(encoding="utf-8").splitlines()
    entries = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return _words(entry.replace("*", r"\w*") for entry in entries)


@cache
def _group_of() -> dict[str, str]:
    """Word → `kind: group`."""
    kinds: dict[str, dict[str, list[str]]] = yaml.safe_load(
        IDENTITY_FILE.read_text(encoding="utf-8")
    )
    return {
        word.lower(): f"{kind}: {group}"
        for kind, groups in kinds.items()
        for group, words in groups.items()
        for word in words
    }


@cache
def _identity_pattern() -> str:
    # The longest first: "trans woman" is not a mention of "woman".
    return _words(sorted(_group_of(), key=len, reverse=True))


def _words(words: Iterable[str]) -> str:
    """A regular expression for whole words, case ignored; of letters, hyphens and spaces only."""
    return rf"(?i)\b(?:{'|'.join(words)})\b"


@cache
def _sentiment() -> SentimentIntensityAnalyzer:
    from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer

    return SentimentIntensityAnalyzer()


def bias_table(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One row a measure and group, a column a data set: `1.2 % [0.8, 1.9] of 1,234`.

    Measures of a group that no data set mentions are left out.
    """
    table: dict[tuple[str, str], dict[str, Any]] = {}
    hits: Counter[tuple[str, str]] = Counter()
    for row in rows:
        key = (str(row["measure"]), str(row["group"]))
        shown = table.setdefault(key, {"measure": key[0], "group": key[1]})
        hits[key] += row["n"] if row["measure"] != MENTIONS else row["hits"]
        shown[row["dataset"]] = (
            f"{row['share']:.1%} [{100 * row['low']:.1f}, {100 * row['high']:.1f}] of {row['n']:,}"
            if row["share"] is not None
            else "none"
        )
    return [row for key, row in table.items() if hits[key]]
