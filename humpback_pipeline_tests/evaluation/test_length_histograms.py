"""Length histograms, samples by hash, token ids and the plots of the data."""

from __future__ import annotations

import random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.evaluation.hash_samples import sample_by_hash
from humpback_pipeline.evaluation.length_histograms import (
    BINS,
    HISTOGRAM_SCHEMA,
    binned_lengths,
    length_panels,
    summarise_lengths,
)
from humpback_pipeline.evaluation.statistics_plot import statistics_plot


@given(lengths=st.lists(st.integers(0, 10_000), max_size=50))
def test_every_length_is_in_exactly_one_bin(lengths: list[int]) -> None:
    table = binned_lengths("seeds", "output", "chars", lengths)
    assert dict(table.schema) == HISTOGRAM_SCHEMA
    assert table["n"].sum() == len(lengths)
    width, last = BINS["output", "chars"]
    assert table.height == last // width + 1
    for row in table.iter_rows(named=True):
        high = row["bin_end"] if row["bin_end"] is not None else float("inf")
        assert row["n"] == sum(row["bin_start"] <= length < high for length in lengths)
    assert table["share_of_set"].sum() == pytest.approx(1.0 if lengths else 0.0)


def test_bins_do_not_depend_on_the_data() -> None:
    short, long = (binned_lengths("s", "instruction", "chars", [n]) for n in (1, 99_999))
    assert short["bin_start"].equals(long["bin_start"])
    assert long["n"].to_list()[-1] == 1
    assert long["bin_end"].to_list()[-1] is None


def test_summary_of_a_worked_case() -> None:
    row = summarise_lengths("seeds", "output", "chars", [10, 20, 30], n_total=300)
    assert (row["mean"], row["sd"], row["median"], row["max"]) == (20, 10, 20, 30)
    # Student's t with two degrees of freedom: 4.303 · 10 / √3.
    assert row["high"] - row["mean"] == pytest.approx(24.84, abs=0.01)
    assert row["low"] == 0.0
    assert (row["n"], row["n_total"], row["few"]) == (3, 300, True)


def test_summary_of_one_and_of_nothing() -> None:
    one = summarise_lengths("a", "output", "tokens", [7])
    assert (one["mean"], one["sd"], one["low"]) == (7, None, None)
    nothing = summarise_lengths("a", "output", "tokens", [])
    assert (nothing["n"], nothing["mean"], nothing["few"]) == (0, None, True)


def test_plots_are_drawn_with_and_without_data() -> None:
    table = pl.concat(
        [
            binned_lengths(name, part, "chars", lengths)
            for name, lengths in (("seeds", [10, 90, 700]), ("empty", []))
            for part in ("instruction", "output")
        ]
    )
    panels = [("instruction", "chars"), ("output", "chars")]
    means = {"output": {"Seeds": 1072.0}}
    drawn = length_panels(table, panels, title="Lengths", paper_means=means)
    assert drawn.startswith(b"\x89PNG")
    assert drawn != length_panels(table, panels, title="Lengths")
    assert length_panels(table.clear(), panels, title="None").startswith(b"\x89PNG")
    row = {"dataset": "seeds", "n_examples": 2} | dict.fromkeys(
        f"{part}_chars_{what}" for part in ("instruction", "output") for what in ("mean", "sd")
    )
    assert statistics_plot([row], []).startswith(b"\x89PNG")


def test_sample_by_hash_is_the_same_in_whatever_parts_and_order_rows_come() -> None:
    frame = pl.DataFrame({"id": [f"pair-{i}" for i in range(300)], "n": range(300)})
    once = sample_by_hash([frame], "id", 40)
    shuffled = frame.sample(fraction=1, shuffle=True, seed=1)
    cuts = sorted(random.Random(0).sample(range(300), 5))
    parts = [shuffled[a:b] for a, b in zip([0, *cuts], [*cuts, 300], strict=True)]
    assert once.equals(sample_by_hash(parts, "id", 40))
    assert once.height == 40
    assert 60 < once["n"].mean() < 240  # type: ignore[operator]
    # Of a greater set, most of what is sampled is what was.
    more = pl.concat([frame, pl.DataFrame({"id": [f"new-{i}" for i in range(30)], "n": range(30)})])
    assert len(set(sample_by_hash([more], "id", 40)["id"]) & set(once["id"])) > 25


def test_sample_by_hash_of_few_is_all_of_them() -> None:
    frame = pl.DataFrame({"id": ["a", "b"]})
    assert set(sample_by_hash([frame], "id", 5)["id"]) == {"a", "b"}
    assert sample_by_hash([frame.clear()], "id", 5).height == 0
    assert sample_by_hash([], "id", 5).height == 0
