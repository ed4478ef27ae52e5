from __future__ import annotations

import unicodedata

import pytest

from humpback_pipeline.text.contamination import ContaminationIndex
from humpback_pipeline.text.words import WordBatch

NAIVE = "Why did the naïve café owner's mother not open on Tuesday after a summer of rain"
EVALUATION = " ".join(f"Term{n}," for n in range(40))


def numbered(first: int, count: int) -> str:
    return " ".join(f"term{n}" for n in range(first, first + count))


def matches(index: ContaminationIndex, *texts: str) -> dict[int, str]:
    return index.matches(WordBatch(texts))


@pytest.mark.parametrize(("count", "is_hit"), [(12, False), (13, True)])
@pytest.mark.parametrize("first", [0, 9, 27])
def test_thirteen_words_in_a_row_count_and_twelve_do_not(count, is_hit, first) -> None:
    segment = f"## Header\n\nOther words before {numbered(first, count)} and after it."
    found = matches(ContaminationIndex([EVALUATION]), "nothing of it", segment)
    assert found == ({1: numbered(first, 13)} if is_hit else {})


def test_case_punctuation_and_layout_make_no_difference() -> None:
    segment = '*TERM3*\n- term4; "Term5" | term6 (term7) ' + numbered(8, 8).upper()
    assert list(matches(ContaminationIndex([EVALUATION]), segment)) == [0]


def test_words_must_be_in_a_row_and_in_order() -> None:
    index = ContaminationIndex([EVALUATION])
    backwards = " ".join(reversed(numbered(0, 40).split()))
    gaps = " x ".join(numbered(first, 12) for first in (0, 13, 26))
    assert matches(index, backwards, gaps) == {}
    assert matches(index, gaps.replace("term25 x", "term25")) == {}


@pytest.mark.parametrize(
    "copy",
    [
        unicodedata.normalize("NFD", NAIVE),
        NAIVE.upper().replace(" ", ", "),
        "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in NAIVE),
        NAIVE.replace("owner", "_owner_").replace("Tuesday", "__Tuesday__"),
        NAIVE.replace("summer", "sum\u00admer").replace("rain", "ra\u200bin"),
        NAIVE.replace("'", "\u2019").replace(" ", "\u00a0"),
    ],
)
def test_copy_in_other_signs_is_found(copy: str) -> None:
    index = ContaminationIndex([NAIVE])
    assert index.matches(copy)
    assert index.contaminated([copy, NAIVE, "naïve owners of cafés"]) == [True, True, False]


def test_words_with_underscores_are_found_in_texts_taken_as_they_are() -> None:
    code = " ".join(f"call_{n} of" for n in range(10))
    index = ContaminationIndex([code])
    assert index.matches(WordBatch([code]))
    assert index.matches(code)


def test_short_prompt_counts_as_a_whole_from_eight_words() -> None:
    eight, seven = "what is the tallest mountain in all europe", "how do I bake bread at home"
    index = ContaminationIndex([f"{eight.capitalize()}?", seven])
    texts = (f"We asked: {eight}! It is Elbrus.", eight.rsplit(" ", 1)[0], f"Well, {seven}")
    assert matches(index, *texts) == {0: eight}


def test_short_prompt_does_not_shorten_the_runs_of_others() -> None:
    index = ContaminationIndex([EVALUATION, "what is the tallest mountain in all europe today"])
    assert matches(index, numbered(3, 12)) == {}


def test_run_that_spans_two_evaluation_texts_does_not_count() -> None:
    index = ContaminationIndex([numbered(0, 20), numbered(20, 20)])
    assert matches(index, numbered(10, 20)) == {}
    assert matches(index, numbered(10, 12) + " . " + numbered(20, 13)) == {0: numbered(20, 13)}


def test_shorter_runs_by_choice() -> None:
    index = ContaminationIndex([EVALUATION], ngram_words=5)
    assert list(matches(index, numbered(3, 4), numbered(3, 5), "x")) == [1]


def test_nothing_to_compare_with_finds_nothing() -> None:
    for index in (ContaminationIndex([]), ContaminationIndex(["", "too short"])):
        assert len(index) == 0
        assert matches(index, numbered(0, 30), "") == {}
    assert matches(ContaminationIndex([EVALUATION])) == {}


def test_index_of_many_batches_counts_different_runs_once() -> None:
    texts = [numbered(0, 14)] * 1_200
    assert len(ContaminationIndex(texts)) == 2


def test_texts_without_spaces_are_compared_sign_by_sign() -> None:
    question = "世界で一番高い山はどこにありますか"
    segment = f"次の質問に答えます。{question}。答えは次の通り。"
    assert list(matches(ContaminationIndex([question]), segment, "世界で一番")) == [0]


def test_impossible_length_raises() -> None:
    with pytest.raises(ValueError, match="ngram_words"):
        ContaminationIndex([], 0)
