"""The diff of two snapshots of the seeds, against a plain reference."""

from __future__ import annotations

from collections import Counter

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.seeds.diff import SNAPSHOT_SCHEMA, SeedDiff, diff_pairs, snapshot_frame
from humpback_pipeline.seeds.records import SeedPair
from humpback_pipeline.seeds.text import content_id

Texts = list[tuple[str, str]]
words = st.sampled_from(["alpha", "beta", "gamma", "delta"])
contents = st.lists(st.tuples(words, words), max_size=16, unique=True)


def snapshot(texts: Texts) -> pl.LazyFrame:
    pairs = [SeedPair(content_id("seed", i, o), i, o, "test", "train") for i, o in texts]
    return snapshot_frame(pairs).lazy()


def diff(before: Texts, after: Texts) -> SeedDiff:
    return diff_pairs(snapshot(before), snapshot(after))


def counts(found: SeedDiff) -> tuple[int, int, int]:
    return found.added, found.removed, found.changed


def reference(before: Texts, after: Texts) -> tuple[int, int, int]:
    """Match by instruction as often as both sides have it, then the rest by output."""
    old, new = sorted(set(before) - set(after), key=key), sorted(set(after) - set(before), key=key)
    changed = 0
    for position in (0, 1):
        both = Counter(p[position] for p in old) & Counter(p[position] for p in new)
        changed += both.total()
        for side in (old, new):
            left = Counter(both)
            for pair in list(side):
                if left[pair[position]]:
                    left[pair[position]] -= 1
                    side.remove(pair)
    return len(new), len(old), changed


def key(pair: tuple[str, str]) -> str:
    return content_id("seed", *pair)


@settings(max_examples=80, deadline=None, derandomize=True)
@given(contents, contents)
def test_counts_are_those_of_the_reference_and_add_up(before: Texts, after: Texts) -> None:
    found = diff(before, after)
    assert counts(found) == reference(before, after)
    assert len(before) - found.removed + found.added == len(after)
    back = diff(after, before)
    assert counts(back) == (found.removed, found.added, found.changed)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(contents, st.randoms(use_true_random=False))
def test_order_and_white_space_make_no_difference(texts: Texts, random: st.DataObject) -> None:
    shuffled = [(f" {i}\n", f"{o}  ") for i, o in texts]
    random.shuffle(shuffled)
    assert counts(diff(texts, shuffled)) == (0, 0, 0)


def test_other_output_or_other_instruction_is_a_change_and_shown_with_both_texts() -> None:
    found = diff(
        [("What is a tide?", "The sea's rise."), ("Say hello.", "Hello!"), ("Old", "Gone")],
        [("What is a tide?", "The moon's pull."), ("Greet me.", "Hello!"), ("New", "Here")],
    )
    assert counts(found) == (1, 1, 2)
    samples = {(s.change, s.before, s.after) for s in found.samples}
    assert samples == {
        (
            "changed",
            ("What is a tide?", "The sea's rise."),
            ("What is a tide?", "The moon's pull."),
        ),
        ("changed", ("Say hello.", "Hello!"), ("Greet me.", "Hello!")),
        ("added", None, ("New", "Here")),
        ("removed", ("Old", "Gone"), None),
    }


def test_samples_are_few_whatever_the_size() -> None:
    before = [(f"instruction {n}", f"output {n}") for n in range(2_000)]
    found = diff(before, [(f"task {n}", f"answer {n}") for n in range(3_000)])
    assert counts(found) == (3_000, 2_000, 0)
    assert Counter(sample.change for sample in found.samples) == {"added": 5, "removed": 5}


def test_snapshot_of_nothing_has_the_schema() -> None:
    assert snapshot_frame([]).schema == pl.Schema(SNAPSHOT_SCHEMA)
    assert counts(diff([], [])) == (0, 0, 0)
