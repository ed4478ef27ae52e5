"""Labelled pairs and evaluation prompts."""

from __future__ import annotations

import polars as pl
import pytest

from humpback_pipeline.seeds import (
    SeedDataError,
    read_evaluation_prompts,
    read_labelled_pairs,
)
from humpback_pipeline.seeds.evaluation_data import read_preferences

GOOD = {"instruction": "What is a fjord?", "output": "A long inlet.", "label": 1, "kind": "human"}
POOR = {"instruction": "What is a moraine?", "output": "Click here!", "label": 0}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("label", 1, 0),
        ("label", 1.0, 0.0),
        ("label", True, False),
        ("label", "good", "bad"),
        ("label", "Good", " BAD "),
        ("label", "1", "0"),
        ("high_quality", True, False),
        ("quality", "good", "bad"),
    ],
)
def test_read_labelled_pairs_label_spellings(write_lines, field, good, bad):
    records = [{**GOOD, field: good}, {**POOR, field: bad}]
    if field != "label":
        records = [{k: v for k, v in r.items() if k != "label"} for r in records]
    pairs = read_labelled_pairs(write_lines(records))
    assert [(type(pair.label), pair.label) for pair in pairs] == [(int, 1), (int, 0)]
    assert [pair.kind for pair in pairs] == ["human", ""]
    assert pairs[0].instruction == "What is a fjord?"
    assert pairs[0].output == "A long inlet."


def test_read_labelled_pairs_parquet_with_ids(tmp_path):
    path = tmp_path / "l.parquet"
    pl.DataFrame([{**GOOD, "pair_id": "a"}, {**POOR, "pair_id": "b"}]).write_parquet(path)
    assert [pair.pair_id for pair in read_labelled_pairs(path)] == ["a", "b"]


def test_read_labelled_pairs_repeated_content_is_kept_with_unique_ids(write_lines):
    path = write_lines([GOOD, POOR, GOOD, GOOD])
    ids = [pair.pair_id for pair in read_labelled_pairs(path)]
    assert len(set(ids)) == 4
    assert ids == [pair.pair_id for pair in read_labelled_pairs(path)]
    assert ids[2:] == [f"{ids[0]}-2", f"{ids[0]}-3"]


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ({**GOOD, "label": 2}, "label", "wrong label"),
        ({**GOOD, "label": "great"}, "label", "wrong label"),
        ({**GOOD, "label": [1]}, "label", "wrong label"),
        ({**GOOD, "label": None}, "label", "missing field"),
        ({**GOOD, "output": ""}, "output", "empty output"),
        ({**GOOD, "kind": 3}, "kind", "wrong type"),
        ({**GOOD, "id": "a"}, "id", "duplicate id"),
        ({**GOOD, "id": []}, "id", "wrong type"),
        ("{", "(line)", "invalid json"),
        ("[]", "(record)", "wrong type"),
    ],
)
def test_read_labelled_pairs_bad_record_stops(write_lines, record, field, reason):
    path = write_lines([POOR, {**POOR, "id": "a"}, record])
    with pytest.raises(SeedDataError) as caught:
        read_labelled_pairs(path)
    assert str(caught.value).startswith(f"{path}, line 3, field '{field}': {reason}, found")
    assert "Remedy: " in str(caught.value)


def test_read_labelled_pairs_one_label_only(write_lines):
    with pytest.raises(SeedDataError, match=r"every label is 1.*Remedy: "):
        read_labelled_pairs(write_lines([GOOD, GOOD]))


@pytest.mark.parametrize("read", [read_labelled_pairs, read_evaluation_prompts, read_preferences])
def test_read_evaluation_data_missing_or_without_records(read, tmp_path):
    with pytest.raises(SeedDataError, match=r"no such file.*Remedy: set the recipe's path of the"):
        read(tmp_path / "nothing.jsonl")
    blank = tmp_path / "blank.jsonl"
    blank.write_text("\n")
    with pytest.raises(SeedDataError, match=r"no record.*Remedy: set the recipe's path of the"):
        read(blank)


def test_read_evaluation_prompts_alpaca_eval_shape(write_lines):
    record = {
        "dataset": "helpful_base",
        "instruction": "How did the states get their names?",
        "reference_output": "Many names are Native American.",
        "reference": "text_davinci_003",
    }
    (prompt,) = read_evaluation_prompts(write_lines([record]))
    assert prompt.instruction == record["instruction"]
    assert prompt.output == record["reference_output"]
    assert (prompt.dataset, prompt.category) == ("helpful_base", "")
    assert prompt.prompt_id.startswith("prompt-")


def test_read_evaluation_prompts_plain_shape_defaults_and_empty_reference(write_lines):
    records = [
        {"prompt_id": "p1", "instruction": "Add 2 and 2.", "output": "4", "category": "reasoning"},
        {"id": 7, "question": "Say nothing.", "answer": ""},
    ]
    first, second = read_evaluation_prompts(write_lines(records, "mine.jsonl"))
    assert (first.prompt_id, first.category, first.dataset) == ("p1", "reasoning", "mine")
    assert (second.prompt_id, second.output) == ("7", "")


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ({"instruction": "Say.", "reference": "model"}, "reference_output", "missing field"),
        ({"instruction": " ", "output": "x"}, "instruction", "empty instruction"),
        ({"instruction": "Say.", "output": 5}, "output", "wrong type"),
        ({"instruction": "Say.", "output": "x", "dataset": 1}, "dataset", "wrong type"),
        ({"instruction": "Say.", "output": "x", "prompt_id": ""}, "prompt_id", "empty id"),
    ],
)
def test_read_evaluation_prompts_bad_record_stops(write_lines, record, field, reason):
    path = write_lines([record])
    with pytest.raises(SeedDataError) as caught:
        read_evaluation_prompts(path)
    assert str(caught.value).startswith(f"{path}, line 1, field '{field}': {reason}, found")


CHOICE = {"instruction": "Say.", "output_1": "A.", "output_2": "B.", "preference": 1.0}


@pytest.mark.parametrize(
    ("value", "preference", "preferred"),
    [
        (1, 1.0, 1),
        ("1.000006439", 1.000006439, 1),
        (1.4999, 1.4999, 1),
        (1.5, 1.5, None),
        (0, 1.5, None),
        (1.5001, 1.5001, 2),
        (2.0, 2.0, 2),
        (None, None, None),
    ],
)
def test_read_preferences_says_which_output_is_preferred(write_lines, value, preference, preferred):
    record = {**CHOICE, "preference": value, "generator_1": "a model"}
    read, _ = read_preferences(write_lines([record, {**CHOICE, "instruction": "Speak."}]))
    assert (read.preference, read.preferred) == (preference, preferred)
    assert (read.instruction, read.output_1, read.output_2) == ("Say.", "A.", "B.")


def test_read_preferences_makes_ids_from_the_content_or_keeps_those_given(write_lines):
    records = [CHOICE, {**CHOICE, "output_2": ""}, CHOICE, {**CHOICE, "prompt_id": "mine"}]
    ids = [row.prompt_id for row in read_preferences(write_lines(records))]
    assert len(set(ids)) == 4
    assert ids[2] == f"{ids[0]}-2"
    assert ids[3] == "mine"


@pytest.mark.parametrize(
    ("record", "field", "reason"),
    [
        ({**CHOICE, "preference": 3}, "preference", "wrong preference"),
        ({**CHOICE, "preference": True}, "preference", "wrong preference"),
        ({**CHOICE, "preference": "first"}, "preference", "wrong preference"),
        ({**CHOICE, "preference": "nan"}, "preference", "wrong preference"),
        ({**CHOICE, "preference": []}, "preference", "wrong preference"),
        (
            {"instruction": "Say.", "output_1": "A.", "output_2": "B."},
            "preference",
            "missing field",
        ),
        ({**CHOICE, "output_2": None}, "output_2", "missing field"),
    ],
)
def test_read_preferences_bad_record_stops(write_lines, record, field, reason):
    path = write_lines([record])
    with pytest.raises(SeedDataError) as caught:
        read_preferences(path)
    assert str(caught.value).startswith(f"{path}, line 1, field '{field}': {reason}, found")


def test_read_preferences_that_are_all_draws_say_nothing(write_lines):
    with pytest.raises(SeedDataError, match=r"none of 2 annotations prefers.*Remedy: "):
        read_preferences(
            write_lines([{**CHOICE, "preference": 1.5}, {**CHOICE, "preference": None}])
        )
