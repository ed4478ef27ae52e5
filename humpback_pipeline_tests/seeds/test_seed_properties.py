"""Properties: what is written is read back, and nothing but SeedDataError ever comes out."""

from __future__ import annotations

import contextlib
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from humpback_pipeline.seeds import (
    SeedDataError,
    read_evaluation_prompts,
    read_labelled_pairs,
    read_seed_pairs,
)
from humpback_pipeline.seeds.text import clean_text, is_blank, normalised

QUICK = settings(max_examples=50, deadline=None, derandomize=True)
NAMES = [
    "s.jsonl",
    "s.jsonl.gz",
    "s.json",
    "s.json.gz",
    "s.parquet",
    "s.trees.jsonl",
    "s.messages.jsonl.gz",
]

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60).filter(
    lambda text: not is_blank(clean_text(text))
)
pairs = st.lists(st.tuples(texts, texts), min_size=1, max_size=12)
scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text()
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
field_names = st.sampled_from(
    [
        "instruction",
        "prompt",
        "question",
        "input",
        "output",
        "answer",
        "conversations",
        "messages",
        "lang",
        "source",
        "text",
        "role",
        "message_id",
        "message_tree_id",
        "parent_id",
        "rank",
        "deleted",
        "replies",
        "label",
        "id",
        "data",
        "content",
        "from",
    ]
)
records = st.recursive(
    st.dictionaries(field_names, json_values, max_size=6),
    lambda inner: st.dictionaries(
        field_names, inner | st.lists(inner, max_size=3) | json_values, max_size=6
    ),
    max_leaves=4,
)


def _write(path: Path, rows: list[Any]) -> None:
    if path.suffix == ".parquet":
        pl.DataFrame(rows).write_parquet(path)
        return
    lines = ".jsonl" in path.name
    text = "".join(json.dumps(r) + "\n" for r in rows) if lines else json.dumps(rows)
    _write_bytes(path, text.encode())


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)


@pytest.mark.parametrize("name", NAMES[:5])
@given(pairs=pairs)
@QUICK
def test_read_seed_pairs_round_trip(name, pairs):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        _write(path, [{"instruction": i, "output": o} for i, o in pairs])
        read = read_seed_pairs(path, languages=())
    unique = {(normalised(i), normalised(o)): (i, o) for i, o in reversed(pairs)}
    kept = [(pair.instruction, pair.output) for pair in read.pairs]
    assert sorted(kept) == sorted((clean_text(i), clean_text(o)) for i, o in unique.values())
    assert read.dropped.get("duplicate", 0) == len(pairs) - len(unique)
    assert len({pair.pair_id for pair in read.pairs}) == len(unique)


def _read_all(path: Path) -> None:
    for mode in ("stop", "count"):
        with contextlib.suppress(SeedDataError):
            read = read_seed_pairs(path, on_bad_record=mode)  # type: ignore[arg-type]
            assert read.pairs
            assert mode == "count" or not read.bad_records
    for reader in (read_labelled_pairs, read_evaluation_prompts):
        with contextlib.suppress(SeedDataError):
            assert reader(path)


@pytest.mark.parametrize("name", NAMES)
@given(content=st.binary(min_size=1, max_size=200), compressed=st.booleans())
@QUICK
def test_readers_random_bytes_raise_only_seed_data_error(name, content, compressed):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if compressed:
            _write_bytes(path, content)
        else:
            path.write_bytes(content)
        _read_all(path)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "s.parquet"])
@given(rows=st.lists(records | json_values, min_size=1, max_size=5))
@QUICK
def test_readers_random_json_raise_only_seed_data_error(name, rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        _write(path, rows)
        _read_all(path)


@pytest.mark.parametrize("name", NAMES[:5])
@given(
    changes=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(0, 255)), max_size=8),
    cut=st.floats(0.1, 1),
)
@QUICK
def test_readers_damaged_file_raise_only_seed_data_error(name, changes, cut):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        _write(path, [{"instruction": f"What is {i}?", "output": f"It is {i}."} for i in range(20)])
        content = bytearray(path.read_bytes())
        for place, value in changes:
            content[int(place * len(content))] = value
        path.write_bytes(content[: max(1, int(cut * len(content)))])
        _read_all(path)
