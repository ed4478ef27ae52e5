"""The columns behind deduplication: signatures, union-find, buckets, pages, memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.text.words import WordBatch
from humpback_pipeline.web import near_duplicates
from humpback_pipeline.web.duplicate_finder import DUPLICATE_REASONS, DuplicateFinder
from humpback_pipeline.web.minhash import (
    SIGNATURE_BYTES,
    SignatureFile,
    signatures_of,
    slots_needed,
)
from humpback_pipeline.web.near_duplicates import cluster_roots
from humpback_pipeline.web.union_find import DisjointSets


def words(start: int, count: int = 400) -> str:
    return " ".join(f"w{n}" for n in range(start, start + count))


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 30), st.data())
def test_union_find_gives_the_lowest_of_each_component(n, data) -> None:
    sets, expected = DisjointSets(n), list(range(n))
    item = st.integers(0, n - 1)
    for pairs in data.draw(st.lists(st.lists(st.tuples(item, item), max_size=6), max_size=5)):
        sets.union(*(np.array([p[side] for p in pairs], dtype=np.int64) for side in (0, 1)))
        for a, b in pairs:
            low, high = sorted((expected[a], expected[b]))
            expected = [low if root == high else root for root in expected]
        assert sets.find(np.arange(n)).tolist() == expected


@pytest.mark.parametrize("step", [8, 20, 60, 150])
def test_agreeing_slots_estimate_the_similarity(step, tmp_path: Path) -> None:
    # Many pairs of one similarity, so that the mean estimate is sharp.
    texts = [words(1_000 * i + offset) for i in range(60) for offset in (0, step)]
    file = SignatureFile(tmp_path / "signatures")
    file.append(signatures_of(WordBatch(texts), 5))
    left = np.arange(0, 120, 2)
    shares = file.agreeing(left, left + 1) / SIGNATURE_BYTES
    estimates = (shares - 1 / 256) / (1 - 1 / 256)
    assert estimates.mean() == pytest.approx((396 - step) / (396 + step), abs=0.025)
    strangers = file.agreeing(left, np.roll(left, 1)).mean() / SIGNATURE_BYTES
    assert strangers == pytest.approx(1 / 256, abs=0.004)


def test_slots_needed_of_the_highest_threshold_are_all() -> None:
    assert slots_needed(1.0) == SIGNATURE_BYTES
    assert SIGNATURE_BYTES * 0.8 < slots_needed(0.8) <= SIGNATURE_BYTES * 0.81


@pytest.mark.parametrize("threshold", [0.5, 0.8])
def test_bands_find_the_pairs_they_are_meant_for(threshold, tmp_path: Path) -> None:
    # Similarity a tenth above the threshold.
    alike = threshold + 0.1
    step = round(396 * (1 - alike) / (1 + alike))
    texts = [words(1_000 * i + offset) for i in range(150) for offset in (0, step)]
    roots = roots_of(texts, threshold, tmp_path)
    found = sum(int(roots[i + 1] == i) for i in range(0, 300, 2))
    assert found >= 145
    assert all(roots[i] == i for i in range(0, 300, 2))


def test_large_bucket_costs_a_bounded_number_of_comparisons(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared = 0
    count = SignatureFile.agreeing

    def counting(self: SignatureFile, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        nonlocal compared
        compared += len(left)
        return count(self, left, right)

    monkeypatch.setattr(SignatureFile, "agreeing", counting)
    # One page's text with a number in it: every pair is alike, nearly all share every bucket.
    texts = [f"{words(0)} visitor {n}" for n in range(2_000)]
    assert set(roots_of(texts, 0.8, tmp_path).tolist()) == {0}
    assert compared < 2 * len(texts)


def test_large_bucket_of_texts_that_are_not_alike_stays_linear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SignatureFile, "bands", lambda self, band, slots, rows: rows * 0)
    compared = []
    count = SignatureFile.agreeing

    def counting(self: SignatureFile, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        compared.append(len(left))
        return count(self, left, right)

    monkeypatch.setattr(SignatureFile, "agreeing", counting)
    n = 1_000
    roots = roots_of([words(1_000 * i, 30) for i in range(n)], 0.8, tmp_path)
    assert roots.tolist() == list(range(n))
    assert 0 < sum(compared) <= 16 * (near_duplicates._WINDOW + 1) * n


def test_alike_texts_are_found_in_a_bucket_whose_lowest_is_a_stranger(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SignatureFile, "bands", lambda self, band, slots, rows: rows * 0)
    starts = [10_000, 0, 20_000, 5, 30_000, 10]
    roots = roots_of([words(start) for start in starts], 0.8, tmp_path)
    assert roots.tolist() == [0, 1, 2, 1, 4, 1]


def roots_of(texts: list[str], threshold: float, folder: Path) -> np.ndarray:
    file = SignatureFile(folder / "signatures")
    file.append(signatures_of(WordBatch(texts), 5))
    return cluster_roots(file, np.arange(len(texts)), threshold)


def resolve(
    rows: list[tuple[str, str, str, str | None]],
    excluded: list[int] = [],  # noqa: B006
) -> dict[str, tuple[str, str]]:
    """Rows of segment_id, text, document_id, document_hash → reason and keeper of each."""
    schema = dict.fromkeys(("segment_id", "text", "document_id", "document_hash"), pl.String)
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    with DuplicateFinder(0.8) as finder:
        for part in frame.iter_slices(3):
            pages = part.select("document_id", "document_hash")
            finder.add(part["segment_id"], WordBatch(part["text"]), pages)
        result = finder.resolve(np.isin(np.arange(len(rows)), excluded))
    return {
        row[0]: (DUPLICATE_REASONS[code], rows[keeper][0])
        for row, code, keeper in zip(rows, result.reasons, result.keepers.tolist(), strict=True)
    }


def test_page_with_the_same_bytes_is_dropped_for_the_lower_document_id() -> None:
    rows = [
        ("a1", words(0), "doc-2", "h"),
        ("a2", words(1_000), "doc-2", "h"),
        ("b1", words(0), "doc-1", "h"),
        ("b2", words(1_000), "doc-1", "h"),
        ("c1", words(0), "doc-3", "other"),
    ]
    expected = {
        "a1": ("duplicate_page", "b1"),
        "a2": ("duplicate_page", "b2"),
        "b1": ("", "b1"),
        "b2": ("", "b2"),
        "c1": ("exact_duplicate", "b1"),
    }
    assert resolve(rows) == resolve(rows[::-1]) == expected


def test_keeper_of_a_page_may_itself_be_a_duplicate() -> None:
    rows = [
        ("0", words(10), "doc-9", "x"),
        ("1", words(0), "doc-1", "h"),
        ("2", words(0), "doc-2", "h"),
        ("3", words(5_000), "doc-2", "h"),  # a text that the page kept lacks
    ]
    assert resolve(rows) == {
        "0": ("", "0"),
        "1": ("near_duplicate", "0"),
        "2": ("duplicate_page", "0"),
        "3": ("duplicate_page", "0"),
    }


def test_pages_without_a_hash_are_no_duplicates_of_each_other() -> None:
    rows = [(str(i), words(1_000 * i), f"doc-{i}", h) for i, h in enumerate([None, None, "", ""])]
    assert {reason for reason, _ in resolve(rows).values()} == {""}


def test_one_document_in_two_shards_is_kept_once() -> None:
    page = [("a1", words(0), "doc-1", "h"), ("a2", words(1_000), "doc-1", "h")]
    with DuplicateFinder(0.8) as finder:
        for segment_id, text, document_id, document_hash in [*page, *page]:
            pages = pl.DataFrame({"document_id": [document_id], "document_hash": [document_hash]})
            finder.add([segment_id], WordBatch([text]), pages)
        result = finder.resolve()
    assert [DUPLICATE_REASONS[code] for code in result.reasons] == [
        "", "", "exact_duplicate", "exact_duplicate",
    ]  # fmt: skip
    assert result.keepers.tolist() == [0, 1, 0, 1]


def test_excluded_rows_keep_nothing_and_drop_nothing() -> None:
    rows = [
        ("a", words(0), "doc-1", "h"),
        ("b", words(0), "doc-2", "h"),
        ("c", words(10), "doc-3", "i"),
    ]
    assert resolve(rows, excluded=[0]) == {
        "a": ("", "a"),
        "b": ("", "b"),
        "c": ("near_duplicate", "b"),
    }


def test_no_segments_at_all_and_only_excluded_ones() -> None:
    with DuplicateFinder(0.8) as finder:
        assert len(finder.resolve().reasons) == len(finder.segment_ids) == 0
    assert resolve([("a", words(0), "d", "h")], excluded=[0]) == {"a": ("", "a")}


def test_finder_leaves_no_file_behind(tmp_path: Path) -> None:
    with DuplicateFinder(0.8, folder=tmp_path) as finder:
        finder.add(["a"], WordBatch(["text"]))
        assert list(tmp_path.rglob("signatures.u8"))
        finder.resolve()
    assert not list(tmp_path.iterdir())


MEMORY_PROGRAM = """
from pathlib import Path
import numpy as np, polars as pl
from humpback_pipeline.web.duplicate_finder import DuplicateFinder
from humpback_pipeline.text.words import WordBatch

def run(n):
    with DuplicateFinder(0.8) as finder:
        for first in range(0, n, 500):
            random = np.random.default_rng(first)
            texts = [" ".join(map(str, random.integers(0, 10**6, 200))) for _ in range(500)]
            finder.add([f"{first + i:032x}" for i in range(500)], WordBatch(texts))
        assert (finder.resolve().reasons == 0).all()
    # Not getrusage's peak, which is that of the process that forked if it was larger.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

small = run(500)
print((run(20_000) - small) / 1024)
"""


def test_memory_of_twenty_thousand_segments_is_far_below_their_text() -> None:
    answer = subprocess.run(
        [sys.executable, "-c", MEMORY_PROGRAM], check=True, capture_output=True, text=True
    )
    # 28 MB of text, of which a batch stays; objects for each segment would take 40 MB.
    assert float(answer.stdout) < 28
