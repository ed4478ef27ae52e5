"""Bad data: where it is, what is wrong, how to mend it; stopped at or counted."""

from __future__ import annotations

import gzip
import json
import os

import polars as pl
import pytest

from humpback_pipeline.seeds import SeedDataError, read_seed_pairs, seed_content_hash
from humpback_pipeline.seeds import limits as limits_module
from humpback_pipeline.seeds import parsing as parsing_module
from humpback_pipeline.seeds import reading as reading_module

GOOD = {"instruction": "What is a fjord?", "output": "A long inlet that a glacier carved."}
BAD = [
    ("invalid_json", "(line)", '{"instruction": "What'),
    ("invalid_json", "(line)", "[" * 100_000),
    ("invalid_json", "(line)", '{"instruction": ' + "1" * 5000 + "}"),
    ("wrong_type", "(record)", '["What is a fjord?"]'),
    ("wrong_type", "(record)", "17"),
    ("missing_field", "output", '{"instruction": "What is a fjord?"}'),
    ("missing_field", "instruction", '{"output": "An inlet.", "instrution": "typo"}'),
    ("missing_field", "output", '{"instruction": "What is a fjord?", "output": null}'),
    ("wrong_type", "output", '{"instruction": "What is a fjord?", "output": ["An inlet."]}'),
    ("wrong_type", "prompt", '{"prompt": 3, "output": "An inlet."}'),
    ("wrong_type", "input", '{"instruction": "What?", "input": {}, "output": "An inlet."}'),
    ("empty_instruction", "instruction", '{"instruction": " \\n", "output": "An inlet."}'),
    ("empty_output", "output", '{"instruction": "What is a fjord?", "output": ""}'),
    ("empty_output", "answer", '{"question": "What is a fjord?", "answer": "\\u200b\\u0000"}'),
    ("invalid_unicode", "output", '{"instruction": "What is a fjord?", "output": "\\ud800"}'),
    ("missing_field", "conversations", '{"conversations": ["Only a question"]}'),
    ("missing_field", "messages", '{"messages": [{"role": "system", "content": "x"}]}'),
    ("wrong_type", "messages", '{"messages": [{"role": "user", "content": 3}]}'),
    ("wrong_type", "conversations", '{"conversations": "What is a fjord?"}'),
    ("empty_output", "conversations", '{"conversations": ["What is a fjord?", ""]}'),
]


@pytest.mark.parametrize(("reason", "field", "line"), BAD)
def test_read_seed_pairs_bad_record_stops_naming_everything(write_lines, reason, field, line):
    path = write_lines([GOOD, "", line, GOOD])
    with pytest.raises(SeedDataError) as caught:
        read_seed_pairs(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, line 3, field '{field}': {reason.replace('_', ' ')}, found")
    assert "Remedy: " in message
    assert "on_bad_record" in message
    assert len(message) < 800
    assert caught.value.record is not None
    assert (caught.value.record.line, caught.value.record.reason) == (3, reason)


@pytest.mark.parametrize(("reason", "field", "line"), BAD)
def test_read_seed_pairs_bad_record_counted_and_inspectable(write_lines, reason, field, line):
    path = write_lines([line, GOOD])
    read = read_seed_pairs(path, on_bad_record="count")
    assert read.dropped == {reason: 1}
    assert [pair.instruction for pair in read.pairs] == ["What is a fjord?"]
    (bad,) = read.bad_records
    assert (bad.file, bad.line, bad.field, bad.reason) == (str(path), 1, field, reason)
    assert bad.remedy
    assert bad.found


def test_read_seed_pairs_first_of_several_bad_records_stops(write_lines):
    with pytest.raises(SeedDataError, match=r"line 2, field 'output': empty output"):
        read_seed_pairs(write_lines([GOOD, {**GOOD, "output": ""}, "{"]))


def test_read_seed_pairs_parquet_row_named(tmp_path):
    path = tmp_path / "s.parquet"
    pl.DataFrame([GOOD] * 70 + [{**GOOD, "output": None}]).write_parquet(path)
    with pytest.raises(SeedDataError, match=r"row 71, field 'output': missing field, found null"):
        read_seed_pairs(path)


def test_read_seed_pairs_not_utf8(tmp_path):
    path = tmp_path / "s.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + b'{"instruction": "caf\xe9"}\n')
    with pytest.raises(SeedDataError, match=r"line 2, .*not UTF-8.*Remedy: "):
        read_seed_pairs(path)


def test_read_seed_pairs_many_bad_records_are_all_counted_some_kept(write_lines):
    read = read_seed_pairs(write_lines(["{"] * 250 + [GOOD]), on_bad_record="count")
    assert read.dropped == {"invalid_json": 250}
    assert len(read.bad_records) == limits_module.MAX_BAD_RECORDS_KEPT


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        ('[\n{"instruction": "a"},\n{"output" 3}]', 3, "Expecting ':'"),
        ('[\n{"instruction": "a", "output": "b"}\n{', 3, "expected ',' or ']'"),
        ('[\n{"instruction": "a", "output": "b"},\n\n', 4, "the end of the file"),
        ('{"instruction": "a", "output": "b"}', 1, 'named "data"'),
        ('{"data": {"instruction": "a"}}', 1, 'named "data"'),
        ('"text"', 1, "expected a list"),
        ("[" * 100_000, 1, "recursion"),
    ],
)
@pytest.mark.parametrize("mode", ["stop", "count"])
def test_read_seed_pairs_broken_json_document(tmp_path, content, line, found, mode):
    path = tmp_path / "s.json"
    path.write_text(content)
    with pytest.raises(SeedDataError) as caught:
        # The first element of the first case is incomplete, which 'stop' meets earlier.
        read_seed_pairs(path, on_bad_record=mode)
    message = str(caught.value)
    if mode == "stop" and "missing field" in message:
        assert "line 2, field 'output'" in message
        return
    assert message.startswith(f"{path}, line {line}, field '(document)': invalid json")
    assert found in message
    assert "Remedy: " in message


def _expect_refusal(path: object, *parts: str) -> None:
    with pytest.raises(SeedDataError) as caught:
        read_seed_pairs(path)  # type: ignore[arg-type]
    for part in (str(path), "Remedy: ", *parts):
        assert part in str(caught.value)


def test_read_seed_pairs_missing_file(tmp_path):
    path = tmp_path / "nothing.jsonl"
    _expect_refusal(path, "no such file", "HUMPBACK_SEED_DATA", "seed.path")
    with pytest.raises(SeedDataError, match="no such file"):
        seed_content_hash(path)


def test_read_seed_pairs_empty_file(tmp_path):
    path = tmp_path / "empty.jsonl"
    path.touch()
    _expect_refusal(path, "is empty", "HUMPBACK_SEED_DATA", "seed.path")


def test_read_seed_pairs_unknown_extension(tmp_path):
    path = tmp_path / "seeds.csv"
    path.write_text("instruction,output\n")
    _expect_refusal(path, ".csv", ".jsonl", "seed.path")


def test_read_seed_pairs_directory_without_data(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    _expect_refusal(tmp_path, "no data file", "seed.path")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_read_seed_pairs_named_pipe_is_refused_without_waiting(tmp_path):
    path = tmp_path / "pipe.jsonl"
    os.mkfifo(path)
    _expect_refusal(path, "not a regular file")


@pytest.mark.parametrize("name", ["s.jsonl", "s.json", "s.jsonl.gz"])
def test_read_seed_pairs_no_record_at_all(tmp_path, name):
    path = tmp_path / name
    content = b"[]" if name == "s.json" else b"\n\n"
    path.write_bytes(gzip.compress(content) if name.endswith("gz") else content)
    _expect_refusal(path, "no usable pair", "seed.path")


def test_read_seed_pairs_nothing_usable_tells_why(write_lines):
    path = write_lines([GOOD, {"prompt": "x"}])
    with pytest.raises(SeedDataError) as caught:
        read_seed_pairs(path, on_bad_record="count", min_output_chars=1000)
    message = str(caught.value)
    assert "output_too_short 1" in message
    assert "missing_field 1" in message
    assert "line 2, field 'output'" in message
    assert "min_output_chars" in message


def test_read_seed_pairs_cut_off_gzip(write_lines, numbered):
    path = write_lines(numbered(200), "s.jsonl.gz")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(SeedDataError, match=r"damaged .* after line \d+ .*Remedy: fetch"):
        read_seed_pairs(path, on_bad_record="count")


def test_read_seed_pairs_gz_by_name_only(tmp_path):
    path = tmp_path / "s.jsonl.gz"
    path.write_text(json.dumps(GOOD))
    _expect_refusal(path, "not gzip after line 0", "drop .gz")


def test_read_seed_pairs_parquet_by_name_only(tmp_path):
    path = tmp_path / "s.parquet"
    path.write_text(json.dumps(GOOD))
    _expect_refusal(path, "not a readable Parquet file", "JSON Lines")


def test_read_seed_pairs_parquet_without_pair_columns(tmp_path):
    path = tmp_path / "s.parquet"
    pl.DataFrame({"title": ["a"], "body": ["b"]}).write_parquet(path)
    _expect_refusal(path, "no column that holds a pair", "'title', 'body'")


def test_read_seed_pairs_over_long_line_is_skipped_and_counted(write_lines, monkeypatch):
    monkeypatch.setattr(parsing_module, "MAX_LINE_BYTES", 200)
    monkeypatch.setattr(parsing_module, "_DRAIN_BYTES", 64)
    long = {**GOOD, "output": "x" * 1000}
    path = write_lines([long, GOOD, long])
    read = read_seed_pairs(path, on_bad_record="count")
    assert read.dropped == {"line_too_long": 2}
    assert [bad.line for bad in read.bad_records] == [1, 3]
    assert len(read.pairs) == 1
    with pytest.raises(SeedDataError, match=r"line 1, .*line too long.*Remedy: "):
        read_seed_pairs(path)


def test_read_seed_pairs_over_long_document(tmp_path, monkeypatch):
    monkeypatch.setattr(parsing_module, "MAX_JSON_BYTES", 50)
    path = tmp_path / "s.json"
    path.write_text(json.dumps([GOOD]))
    _expect_refusal(path, "more than 50 bytes", "JSON Lines")


@pytest.mark.parametrize("name", ["s.jsonl.gz", "s.parquet"])
def test_read_seed_pairs_decompression_bomb_stops_at_the_budget(
    write_lines, tmp_path, monkeypatch, name
):
    budget = limits_module.ByteBudget(200_000)
    monkeypatch.setattr(reading_module, "ByteBudget", lambda: budget)
    records = [{**GOOD, "output": "x" * 10_000}] * 10_000
    if name.endswith("gz"):
        path = write_lines(records, name)
    else:
        path = tmp_path / name
        pl.DataFrame(records).write_parquet(path)
    assert path.stat().st_size < 1_000_000
    _expect_refusal(path, "exceed 200,000 bytes")
    assert budget.left_bytes > -20_000


def test_read_seed_pairs_file_changed_while_read(write_lines, monkeypatch):
    path = write_lines([GOOD])
    assign = reading_module.read_jsonl

    def read_and_append(file, budget):
        yield from assign(file, budget)
        file.write_text(json.dumps(GOOD) * 2)

    monkeypatch.setattr(reading_module, "read_jsonl", read_and_append)
    _expect_refusal(path, "changed while it was being read")


@pytest.mark.parametrize(
    "options",
    [
        {"on_bad_record": "ignore"},
        {"dev_fraction": 1.0},
        {"dev_fraction": -0.1},
        {"languages": "en"},
    ],
)
def test_read_seed_pairs_impossible_option(write_lines, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        read_seed_pairs(write_lines([GOOD]), **options)
