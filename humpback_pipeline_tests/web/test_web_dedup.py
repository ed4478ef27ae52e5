from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_up_text import prose

from humpback_pipeline.text.words import WordBatch
from humpback_pipeline.web import deduplicate
from humpback_pipeline.web.minhash import signatures_of, slots_needed


@dataclass(frozen=True)
class Row:
    segment_id: str
    text: str


def words(start: int, count: int = 400) -> str:
    return " ".join(f"w{n}" for n in range(start, start + count))


def test_deduplicate_exact_ignores_case_and_punctuation() -> None:
    text = prose(800)
    rows = [Row("b", text), Row("a", text.upper().replace(",", "")), Row("c", prose(800, 50))]
    by_id = deduplicate(rows).by_id
    assert (by_id["a"].kept, by_id["c"].kept) == (True, True)
    assert (by_id["b"].reason, by_id["b"].duplicate_of) == ("exact_duplicate", "a")


def test_deduplicate_near_duplicate_is_dropped_and_distant_text_is_kept() -> None:
    rows = [Row("a", words(0)), Row("b", words(10)), Row("c", words(250)), Row("d", words(9_000))]
    by_id = deduplicate(rows).by_id
    assert [k for k in by_id if by_id[k].kept] == ["a", "c", "d"]
    assert (by_id["b"].reason, by_id["b"].duplicate_of) == ("near_duplicate", "a")


def test_deduplicate_chain_keeps_one_of_the_cluster() -> None:
    # a~b and b~c, but a and c are too far apart to be similar themselves.
    a, b, c = Row("a", words(0)), Row("b", words(30)), Row("c", words(60))
    assert [d.kept for d in deduplicate([a, c])] == [True, True]
    result = deduplicate([b, c, a])
    assert [(d.segment_id, d.kept, d.duplicate_of) for d in result] == [
        ("b", False, "a"),
        ("c", False, "a"),
        ("a", True, None),
    ]


def test_deduplicate_same_identifier_again_is_an_exact_duplicate() -> None:
    rows = [Row("a", words(0)), Row("a", words(0)), Row("b", words(900))]
    result = deduplicate(rows)
    assert [d.kept for d in result] == [True, False, True]
    assert (result[1].reason, result[1].duplicate_of) == ("exact_duplicate", "a")
    assert result.kept_ids == ["a", "b"]
    assert result.by_id["a"].kept


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=25), st.randoms())
def test_deduplicate_result_is_independent_of_input_order(starts, rng: random.Random) -> None:
    rows = [Row(f"id{i:02d}", words(15 * start)) for i, start in enumerate(starts)]
    expected = deduplicate(rows).by_id
    shuffled = rows[:]
    rng.shuffle(shuffled)
    result = deduplicate(iter(shuffled))
    assert result.by_id == expected
    assert [d.segment_id for d in result] == [row.segment_id for row in shuffled]
    kept = {d.segment_id for d in result if d.kept}
    assert all(d.duplicate_of in kept for d in result if not d.kept)


def test_deduplicate_of_nothing_and_of_short_texts() -> None:
    assert len(deduplicate([])) == 0
    assert deduplicate([Row("a", ""), Row("b", ""), Row("c", "x")]).kept_ids == ["a", "c"]


@pytest.mark.parametrize("threshold", [0.0, 1.1, -1])
def test_deduplicate_impossible_threshold_raises(threshold) -> None:
    with pytest.raises(ValueError, match="threshold"):
        deduplicate([], threshold)


def brute_force_keepers(rows: list[Row], threshold: float) -> dict[str, str]:
    """Lowest identifier of each one's cluster, by comparing every pair until nothing changes."""
    signatures = signatures_of(WordBatch([row.text for row in rows]), 5)
    keeper = {row.segment_id: row.segment_id for row in rows}
    alike = [
        (a.segment_id, b.segment_id)
        for i, a in enumerate(rows)
        for j, b in enumerate(rows)
        if (signatures[i] == signatures[j]).sum() >= slots_needed(threshold)
    ]
    changed = True
    while changed:
        changed = False
        for a, b in alike:
            if keeper[a] < keeper[b]:
                keeper[b], changed = keeper[a], True
    return keeper


# Steps of 50 words: similarity 0.78 one step apart, 0.60 two apart. A chain breaks where a step is
# missing, so the clusters of an example are of many shapes.
@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), min_size=1, max_size=30))
def test_deduplicate_clusters_are_those_of_brute_force(places) -> None:
    rows = [
        Row(f"id{(i * 7) % 31:02d}", words(10_000 * base + 50 * step))
        for i, (base, step) in enumerate(places)
    ]
    expected = brute_force_keepers(rows, 0.685)
    found = {d.segment_id: d.duplicate_of or d.segment_id for d in deduplicate(rows, 0.685)}
    assert found == expected


def test_deduplicate_long_chain_across_many_batches_keeps_its_lowest_id() -> None:
    rows = [Row(f"id{(i * 389) % 1_200:04d}", words(15 * i)) for i in range(1_200)]
    result = deduplicate(rows)
    assert result.kept_ids == ["id0000"]
    assert {d.duplicate_of for d in result if not d.kept} == {"id0000"}


def test_deduplicate_result_is_a_sequence() -> None:
    result = deduplicate([Row("b", words(0)), Row("a", words(0)), Row("c", words(900))])
    assert [d.segment_id for d in result[1:]] == ["a", "c"]
    assert result[-1] == result.decisions[2]
    with pytest.raises(IndexError):
        result[3]


def test_deduplicate_takes_texts_that_no_utf8_can_hold() -> None:
    result = deduplicate([Row("a", "half a pair \ud83d of words"), Row("b", "\ud83d")])
    assert result.kept_ids == ["a", "b"]
