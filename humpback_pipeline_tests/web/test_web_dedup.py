from __future__ import annotations

import random
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from web_builders import prose

from humpback_pipeline.web import deduplicate, select_sample


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


ROWS = [(f"s{n:03d}", f"https://host{n % 3}.example.com/{n}") for n in range(90)]


def test_select_sample_is_deterministic_and_independent_of_order() -> None:
    chosen = select_sample(ROWS, 20, seed=1)
    assert chosen == select_sample(reversed(ROWS), 20, seed=1) == sorted(set(chosen))
    assert len(chosen) == 20
    assert chosen != select_sample(ROWS, 20, seed=2)


def test_select_sample_caps_each_host() -> None:
    chosen = select_sample(ROWS, 50, max_per_host=4)
    hosts = [int(segment_id[1:]) % 3 for segment_id in chosen]
    assert [hosts.count(h) for h in range(3)] == [4, 4, 4]


def test_select_sample_mostly_stays_when_rows_are_added() -> None:
    before = set(select_sample(ROWS, 30))
    after = set(
        select_sample([*ROWS, *((f"t{n}", "https://new.example.com") for n in range(9))], 30)
    )
    assert len(before & after) >= 21


def test_select_sample_of_fewer_rows_than_asked_and_bad_urls() -> None:
    assert select_sample([("a", "http://[bad"), ("b", "")], 10) == ["a", "b"]


@pytest.mark.parametrize("options", [{"n": -1}, {"n": 1, "max_per_host": 0}])
def test_select_sample_impossible_numbers_raise(options) -> None:
    with pytest.raises(ValueError, match="select_sample"):
        select_sample([], **options)
