"""Pairs for people: which, in which order, and that nothing tells whose an answer is."""

from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from human_judging import COMPARISONS, export, pairs, responses

from humpback_pipeline.evaluation.human_exports import guarded, pairs_csv, write_exports
from humpback_pipeline.evaluation.human_pairs import human_pairs


def test_same_seed_gives_the_same_pairs_and_another_seed_others() -> None:
    assert pairs().equals(pairs())
    assert set(pairs(seed=1)["prompt_id"]) != set(pairs()["prompt_id"])


def test_answers_of_both_sides_are_where_the_key_says() -> None:
    answers = {"m0": "A plain answer", "m2": "A rich answer", "reference": "A written answer"}
    frame = pairs(n_pairs=6)
    for row in frame.iter_rows(named=True):
        assert row["first"].startswith(answers[row["first_model"]])
        assert row["second"].startswith(answers[row["second_model"]])
        assert {row["first_model"], row["second_model"]} == {row["model"], row["baseline"]}
        assert row["first"].split(".")[0].endswith(row["prompt_id"][1:])


@pytest.mark.parametrize("n_pairs", [5, 6])
def test_each_side_is_first_equally_often_and_comparisons_are_mixed(n_pairs: int) -> None:
    frame = pairs(n_pairs=n_pairs)
    first = Counter(frame.filter(comparison="m2 vs m0")["first_model"])
    assert abs(first["m2"] - first["m0"]) <= 1
    changes = (frame["comparison"] != frame["comparison"].shift()).sum()
    assert changes > 2


def test_comparisons_share_no_prompt_while_there_are_enough() -> None:
    prompts = pairs(n=12, n_pairs=6)["prompt_id"]
    assert prompts.n_unique() == 12
    assert pairs(n=12, n_pairs=7)["prompt_id"].n_unique() == 12
    # All there are, if more are asked for.
    assert pairs(n=12, n_pairs=50).height == 24


def test_more_pairs_leave_those_there_as_they_are() -> None:
    assert set(pairs(n_pairs=3)["pair_id"]) < set(pairs(n_pairs=5)["pair_id"])


def test_pair_keeps_its_id_only_while_both_answers_stay() -> None:
    changed = responses()
    changed["m0"] = changed["m0"].with_columns(
        output=pl.when(pl.col("prompt_id") == "p3").then(pl.lit("New.")).otherwise("output")
    )
    before = pairs(n_pairs=12)
    after = human_pairs(changed, COMPARISONS, n_pairs=12)
    gone = before.filter(~pl.col("pair_id").is_in(after["pair_id"].to_list()))
    assert gone.select("comparison", "prompt_id").rows() == [("m2 vs m0", "p3")]


def test_prompt_without_a_reference_is_not_compared_with_it() -> None:
    given = responses(n=3)
    for model, frame in given.items():
        given[model] = frame.with_columns(
            reference=pl.when(pl.col("prompt_id") == "p1").then(pl.lit(" ")).otherwise("reference")
        )
    found = human_pairs(given, COMPARISONS, n_pairs=9)
    assert set(found.filter(comparison="m2 vs reference")["prompt_id"]) == {"p0", "p2"}


def test_models_without_a_common_prompt_are_an_error() -> None:
    given = responses()
    given["m0"] = given["m0"].with_columns(prompt_id="other-" + pl.col("prompt_id"))
    with pytest.raises(ValueError, match="m2 and m0 have no prompt in common"):
        human_pairs(given, COMPARISONS, n_pairs=3)


def test_what_annotators_get_names_no_model_and_the_key_lies_apart(tmp_path: Path) -> None:
    frame = export(tmp_path)
    given = sorted((tmp_path / "for_annotators").iterdir())
    assert [path.name for path in given] == [
        "label_studio_config.xml",
        "label_studio_tasks.json",
        "pairs.csv",
        "pairs.jsonl",
    ]
    for path in given:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\bm[02]\b|reference|baseline|model", text), path.name
    key = [json.loads(line) for line in (tmp_path / "key.jsonl").read_text().splitlines()]
    assert {row["pair_id"]: row["first_model"] for row in key} == dict(
        frame.select("pair_id", "first_model").iter_rows()
    )


def test_exports_that_are_there_are_not_written_again(tmp_path: Path) -> None:
    frame = export(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    (changed := tmp_path / "key.jsonl").write_text("")
    write_exports(tmp_path, frame)
    now = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*")}
    assert {path for path in now if now[path] != before[path]} == {changed}


def test_label_studio_configuration_fits_its_tasks(tmp_path: Path) -> None:
    frame = export(tmp_path)
    folder = tmp_path / "for_annotators"
    tasks = json.loads((folder / "label_studio_tasks.json").read_text(encoding="utf-8"))
    assert [task["data"]["pair_id"] for task in tasks] == frame["pair_id"].to_list()
    root = ET.parse(folder / "label_studio_config.xml").getroot()
    assert root.tag == "View"
    shown = {text.get("name"): text.get("value") for text in root.iter("Text")}
    assert set(shown) == {"instruction", "first", "second"}
    for task in tasks:
        assert all(str(variable).removeprefix("$") in task["data"] for variable in shown.values())
    (choices,) = root.iter("Choices")
    assert choices.get("toName") in shown
    assert [c.get("alias") for c in choices] == ["first", "second", "no_difference"]


def test_csv_opens_as_text_in_a_spreadsheet_and_reads_back() -> None:
    start = {"m0": "=1+1", "m2": '@SUM(A1)\n"quoted", with; separators'}
    given = {
        model: frame.with_columns(output=pl.lit(start[model]), instruction=pl.lit("-2+3"))
        for model, frame in responses(n=1).items()
    }
    frame = human_pairs(given, [("m2", "m0")], n_pairs=1)
    text = pairs_csv(frame)
    assert text.startswith("\ufeff")
    header, row = csv.reader(text.removeprefix("\ufeff").splitlines(keepends=True))
    assert header == ["pair_id", "instruction", "first", "second", "choice", "annotator"]
    assert row[1] == "'-2+3"
    assert sorted(row[2:4]) == ["'=1+1", "'" + start["m2"]]
    assert row[4:] == ["", ""]


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", "\t=1", "\r=1", "\n=1", "  =1"])
def test_cell_that_could_be_a_formula_is_guarded(cell: str) -> None:
    assert guarded(cell) == "'" + cell


def test_plain_cell_is_left_as_it_is() -> None:
    assert guarded("a = b - c") == "a = b - c"
