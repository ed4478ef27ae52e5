from __future__ import annotations

import random
from collections import Counter

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.text.stable_hash import string_hashes
from humpback_pipeline.web import select_sample
from humpback_pipeline.web.selection import SAMPLE_REASONS, draws_of, hosts_of, sample_rows

FIRST_DRAWS = [15307250052062052958, 10130523249852581303]
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


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 4), max_size=40), st.integers(0, 30), st.integers(1, 5), st.randoms()
)
def test_sample_rows_is_the_greedy_choice_in_the_order_of_draws(
    hosts, n, cap, rng: random.Random
) -> None:
    draws = [rng.randrange(2**64) for _ in hosts]
    taken: Counter[int] = Counter()
    chosen, capped = [], []
    for row in sorted(range(len(hosts)), key=draws.__getitem__):
        taken[hosts[row]] += 1
        if taken[hosts[row]] > cap:
            capped.append(row)
        elif len(chosen) < n:
            chosen.append(row)
    codes = sample_rows(np.array(draws, np.uint64), np.array(hosts, np.uint64), n, cap)
    reasons = [SAMPLE_REASONS[code] for code in codes]
    assert [i for i, reason in enumerate(reasons) if not reason] == sorted(chosen)
    assert [i for i, reason in enumerate(reasons) if reason == "host_cap"] == sorted(capped)


def test_draws_are_the_same_in_every_version_and_spread_evenly() -> None:
    ids = pl.Series([f"{n:032x}" for n in range(20_000)])
    draws = draws_of(ids, 7)
    # Written down once: a sample of ten million must not change with a library.
    assert draws[:2].tolist() == FIRST_DRAWS
    counts = np.bincount((draws >> np.uint64(60)).astype(np.int64), minlength=16)
    assert counts.min() > 1_100
    assert counts.max() < 1_400
    assert len(set(draws.tolist())) == 20_000


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://Www.Example.ORG:8443/a?b=c", "www.example.org"),
        ("http://user:secret@example.org/", "example.org"),
        ("http://example.org?q=http://other.example", "example.org"),
        ("http://[2001:db8::1]:80/x", "2001:db8::1"),
        ("http://bücher.example/", "bücher.example"),
        ("http://[bad", ""),
        ("/no/host", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_hosts_of_urls(url, host) -> None:
    assert hosts_of(pl.Series([url], dtype=pl.String)).to_list() == [host]


def test_string_hashes_depend_on_every_byte_and_on_nothing_else() -> None:
    strings = ["", "a", "b", "ab", "ba", "aa", "aaa", "é", "e", "a\0", "ab" * 5_000]
    hashes = string_hashes(pl.Series(strings))
    assert len(set(hashes.tolist())) == len(strings)
    again = string_hashes(pl.Series(["x" * 70_000, *reversed(strings)]))
    assert again[1:].tolist() == hashes.tolist()[::-1]
    assert string_hashes(pl.Series([None], dtype=pl.String)).tolist() == hashes[:1].tolist()
