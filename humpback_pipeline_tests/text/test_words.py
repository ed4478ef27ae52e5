from __future__ import annotations

import re
from itertools import pairwise

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.text.words import WordBatch

TEXT = st.text(st.sampled_from("aB_9 .-,\n\téß’Жя日本かク\u00a0"), max_size=40)
WORD = re.compile(r"[日本かク]|[^\W日本かク]+")


def grams(batch: WordBatch, n: int, *, short_whole: bool = False) -> list[list[str]]:
    found = batch.ngrams(n, short_whole=short_whole)
    spans = [
        batch.span(start, end)
        for start, end in zip(found.starts.tolist(), found.ends.tolist(), strict=True)
    ]
    offsets = found.offsets.tolist()
    return [spans[a:b] for a, b in pairwise(offsets)]


@given(st.lists(TEXT, max_size=12))
def test_words_are_those_of_a_regular_expression(texts) -> None:
    expected = [WORD.findall(text.lower()) for text in texts]
    batch = WordBatch(texts)
    assert grams(batch, 1) == expected
    assert batch.n_words.tolist() == [len(words) for words in expected]


@given(st.lists(TEXT, min_size=1, max_size=8), st.integers(1, 5))
def test_ngrams_stay_within_their_text_and_equal_ones_hash_alike(texts, n) -> None:
    words = [WORD.findall(text.lower()) for text in texts]
    batch = WordBatch(texts)
    runs = [[" ".join(w[i : i + n]) for i in range(len(w) - n + 1)] for w in words]
    assert grams(batch, n) == runs
    whole = [run or ([" ".join(w)] if w else []) for run, w in zip(runs, words, strict=True)]
    assert grams(batch, n, short_whole=True) == whole
    hashes = batch.ngrams(n).values.tolist()
    spelt = [gram for run in runs for gram in run]
    assert len(set(zip(spelt, hashes, strict=True))) == len(set(spelt)) == len(set(hashes))


def test_hashes_do_not_depend_on_the_place_in_a_batch() -> None:
    text = "Some words, as they stand."
    alone, later = WordBatch([text]), WordBatch(["before", "", text])
    assert alone.ngrams(3).values.tolist() == later.ngrams(3).values.tolist()
    assert alone.text_keys()[0].tolist() == later.text_keys()[2].tolist()


def test_text_keys_ignore_case_and_punctuation_only() -> None:
    keys = WordBatch(["A b.", " (a) B ", "b a", "ab", "", None]).text_keys().tolist()
    assert keys[0] == keys[1]
    assert keys[4] == keys[5]
    assert len({tuple(key) for key in keys}) == 4


def test_batch_of_nothing_has_no_words() -> None:
    batch = WordBatch(pl.Series([], dtype=pl.String))
    assert batch.n_texts == len(batch.text_keys()) == len(batch.ngrams(5).values) == 0
    assert batch.ngrams(5).offsets.tolist() == [0]
