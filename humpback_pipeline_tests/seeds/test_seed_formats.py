"""The same pairs come out of every format."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import polars as pl
import pytest

from humpback_pipeline.seeds import SEED_SCHEMA, read_seed_pairs, seed_content_hash, seed_frame

PAIRS = [
    ("How do bees make honey?", "They reduce nectar with enzymes and fan the water away."),
    (
        "Write a haiku about the sea.",
        "Grey waves fold and fall\nthe gull hangs on the north wind\nsalt",
    ),
    ("Why is the sky blue? – asked Zoë", "Air scatters short waves of light more than long ones ✓"),
]


def _named(instruction: str = "instruction", output: str = "output") -> list[dict[str, str]]:
    return [{instruction: question, output: answer} for question, answer in PAIRS]


def _texts(path: Path, **options: object) -> list[tuple[str, str]]:
    read = read_seed_pairs(path, **options)  # type: ignore[arg-type]
    return [(pair.instruction, pair.output) for pair in read.pairs]


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz", "S.JSONL"])
def test_read_seed_pairs_json_lines(write_lines, name):
    path = write_lines(_named(), name)
    assert _texts(path) == PAIRS
    assert read_seed_pairs(path).format == "jsonl"


@pytest.mark.parametrize("wrap", [lambda r: r, lambda r: {"version": 1, "data": r, "more": [2]}])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("compressed", [False, True])
def test_read_seed_pairs_json_document(tmp_path, wrap, indent, compressed):
    content = json.dumps(wrap(_named()), indent=indent).encode()
    path = tmp_path / ("s.json.gz" if compressed else "s.json")
    path.write_bytes(gzip.compress(content) if compressed else content)
    assert _texts(path) == PAIRS
    assert read_seed_pairs(path).format == "json"


def test_read_seed_pairs_parquet(tmp_path):
    path = tmp_path / "s.parquet"
    rows = [{**row, "unrelated": 1.5} for row in _named()] * 50  # more than one batch
    pl.DataFrame(rows).write_parquet(path)
    read = read_seed_pairs(path)
    assert [(pair.instruction, pair.output) for pair in read.pairs] == PAIRS
    assert read.format == "parquet"
    assert read.dropped == {"duplicate": 49 * len(PAIRS)}


def test_pair_ids_same_content_same_in_every_format(write_lines, tmp_path):
    lines = write_lines(_named())
    document = tmp_path / "s.json"
    document.write_text(json.dumps([{"id": i, **row} for i, row in enumerate(_named())]))
    table = tmp_path / "s.parquet"
    pl.DataFrame(_named()).write_parquet(table)
    ids = [[pair.pair_id for pair in read_seed_pairs(p).pairs] for p in (lines, document, table)]
    assert ids[0] == ids[1] == ids[2]
    assert all(pair_id.startswith("seed-") and len(pair_id) == 21 for pair_id in ids[0])


@pytest.mark.parametrize("instruction", ["instruction", "prompt", "question"])
@pytest.mark.parametrize("output", ["output", "response", "completion", "answer"])
def test_read_seed_pairs_field_aliases(write_lines, instruction, output):
    assert _texts(write_lines(_named(instruction, output))) == PAIRS


@pytest.mark.parametrize("field", ["input", "context"])
def test_read_seed_pairs_alpaca_input_joined_by_blank_line(write_lines, field):
    records = [
        {
            "instruction": "Make this polite.",
            field: "Give me the salt.",
            "output": "Please pass it.",
        },
        {"instruction": "Name the largest planet.", field: "", "output": "Jupiter is the largest."},
    ]
    assert _texts(write_lines(records)) == [
        ("Make this polite.\n\nGive me the salt.", "Please pass it."),
        ("Name the largest planet.", "Jupiter is the largest."),
    ]


@pytest.mark.parametrize(
    "record",
    [
        {"conversations": ["What is tea?", "Leaves in hot water.", "And coffee?", "Beans."]},
        {
            "messages": [
                {"role": "system", "content": "Be brief."},
                {"role": "user", "content": "What is tea?"},
                {"role": "assistant", "content": "Leaves in hot water."},
                {"role": "user", "content": "And coffee?"},
                {"role": "assistant", "content": "Beans."},
            ]
        },
        {
            "conversations": [
                {"from": "human", "value": "What is tea?"},
                {"from": "gpt", "value": "Leaves in hot water."},
            ]
        },
    ],
)
@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_read_seed_pairs_turns_give_first_exchange(write_lines, tmp_path, record, kind):
    path = write_lines([record])
    if kind == "parquet":
        path = tmp_path / "s.parquet"
        pl.DataFrame([record]).write_parquet(path)
    assert _texts(path) == [("What is tea?", "Leaves in hot water.")]


def test_read_seed_pairs_byte_order_mark_and_windows_line_ends(tmp_path):
    path = tmp_path / "s.jsonl"
    rows = "\r\n".join(json.dumps(row) for row in _named())
    path.write_bytes(b"\xef\xbb\xbf" + rows.encode() + b"\r\n\r\n")
    assert _texts(path) == PAIRS


def test_read_seed_pairs_source_from_record_or_file_name(write_lines):
    records = [{**row, "source": s} for row, s in zip(_named(), ["forum", "", None], strict=True)]
    read = read_seed_pairs(write_lines(records, "my.data.jsonl.gz"))
    assert [pair.source for pair in read.pairs] == ["forum", "my.data", "my.data"]


def test_read_seed_pairs_directory_reads_data_files_in_order(write_lines, tmp_path):
    write_lines(_named()[2:], "d/b.jsonl.gz")
    write_lines(_named()[:2], "d/a.jsonl")
    write_lines(["not data"], "d/README.md")
    write_lines(["not data"], "d/.hidden.jsonl")
    pl.DataFrame(_named()[:1]).write_parquet(tmp_path / "d" / "c.parquet")
    read = read_seed_pairs(tmp_path / "d")
    assert [(pair.instruction, pair.output) for pair in read.pairs] == PAIRS
    assert [pair.source for pair in read.pairs] == ["a", "a", "b"]
    assert read.format == "jsonl+parquet"
    assert read.dropped == {"duplicate": 1}
    content = b"".join((tmp_path / "d" / n).read_bytes() for n in ("a.jsonl", "b.jsonl.gz"))
    content += (tmp_path / "d" / "c.parquet").read_bytes()
    assert read.content_hash == hashlib.sha256(content).hexdigest()


def test_seed_content_hash_changes_with_the_bytes_only(write_lines):
    path = write_lines(_named())
    before = seed_content_hash(path)
    assert before == hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_seed_pairs(path).content_hash == before
    path.touch()
    assert seed_content_hash(path) == before
    write_lines([*_named(), *_named()])
    assert seed_content_hash(path) != before


def test_seed_frame_has_the_contract_columns(write_lines):
    pairs = read_seed_pairs(write_lines(_named())).pairs
    frame = seed_frame(pairs)
    assert frame.columns == ["pair_id", "instruction", "output", "source", "split"]
    assert dict(frame.schema) == SEED_SCHEMA
    assert frame.row(0) == (pairs[0].pair_id, *PAIRS[0], "seeds", pairs[0].split)
    assert dict(seed_frame([]).schema) == SEED_SCHEMA
