"""Judgements from three kinds of files: whose, which counts, what cannot be used and why."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from human_judging import pairs

from humpback_pipeline.evaluation.human_exports import pairs_csv
from humpback_pipeline.evaluation.human_judgements import Judgements, read_judgements

PAIRS = pairs()
IDS = PAIRS["pair_id"].to_list()


def jsonl(path: Path, *rows: dict[str, Any] | str) -> None:
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_text("\n".join(lines), encoding="utf-8")


def choice(place: int, made: Any, **more: Any) -> dict[str, Any]:
    return {"pair_id": IDS[place], "choice": made, **more}


def read(folder: Path) -> Judgements:
    return read_judgements(folder, PAIRS)


def choices(found: Judgements) -> dict[tuple[str, str], str]:
    return {
        (pair_id, annotator): made
        for pair_id, annotator, made in found.frame.select(
            "pair_id", "annotator", "choice"
        ).iter_rows()
    }


def test_folder_that_is_not_there_or_empty_has_no_judgements(tmp_path: Path) -> None:
    for folder in (tmp_path / "none", tmp_path):
        found = read(folder)
        assert (found.frame.height, found.n_files, found.n_bad) == (0, 0, {})


def test_choices_are_unblinded_by_the_pairs(tmp_path: Path) -> None:
    jsonl(tmp_path / "ada.jsonl", *(choice(i, "first") for i in range(len(IDS))))
    frame = read(tmp_path).frame.join(PAIRS, on="pair_id")
    assert frame.height == len(IDS)
    for row in frame.iter_rows(named=True):
        assert row["outcome"] == ("win" if row["first_model"] == row["model"] else "loss")
    assert set(frame["outcome"]) == {"win", "loss"}
    jsonl(tmp_path / "ada.jsonl", choice(0, "no_difference"))
    assert read(tmp_path).frame["outcome"].to_list() == ["no_difference"]


def test_last_choice_of_an_annotator_counts_and_undone_or_skipped_ones_do_not(
    tmp_path: Path,
) -> None:
    jsonl(
        tmp_path / "ada.jsonl",
        choice(0, "first"),
        choice(1, "second"),
        choice(2, "skipped"),
        choice(0, "second"),
        choice(1, "undone"),
    )
    jsonl(tmp_path / "bob.jsonl", choice(0, "first"))
    found = read(tmp_path)
    assert choices(found) == {(IDS[0], "ada"): "second", (IDS[0], "bob"): "first"}
    assert (found.n_records, found.n_replaced, found.n_unanswered) == (6, 2, 2)


def test_later_choice_counts_whichever_file_it_is_in(tmp_path: Path) -> None:
    later = choice(0, "second", annotator="ada", judged_at="2026-05-02T09:00:00+02:00")
    earlier = choice(0, "first", annotator="ada", judged_at="2026-05-02T06:59:00Z")
    jsonl(tmp_path / "a.jsonl", later)
    jsonl(tmp_path / "b.jsonl", earlier)
    assert choices(read(tmp_path)) == {(IDS[0], "ada"): "second"}


def test_bad_records_are_counted_by_reason_and_kept(tmp_path: Path) -> None:
    jsonl(
        tmp_path / "ada.jsonl",
        choice(0, "first"),
        "",
        choice(1, "better"),
        {"pair_id": "pair-0", "choice": "first"},
        {"choice": "first"},
        choice(1, None),
        "[1]",
        '{"pair_id": "pair-1", "cho',
    )
    found = read(tmp_path)
    assert found.n_bad == {
        "unknown_choice": 1,
        "unknown_pair": 1,
        "no_pair_id": 1,
        "no_choice": 1,
        "unknown_format": 1,
        "not_json": 1,
    }
    assert found.frame.height == 1
    (torn,) = [record for record in found.bad if record.reason == "not_json"]
    assert (torn.file, torn.record, torn.found) == ("ada.jsonl", 8, '{"pair_id": "pair-1", "cho')
    assert found.n_records == 7


@pytest.mark.parametrize(
    ("delimiter", "encoding"), [(",", "utf-8-sig"), (";", "cp1252"), ("\t", "utf-8")]
)
def test_filled_in_csv_is_read_however_the_spreadsheet_saved_it(
    tmp_path: Path, delimiter: str, encoding: str
) -> None:
    rows = list(csv.reader(io.StringIO(pairs_csv(PAIRS).removeprefix("\ufeff"))))
    made = ["First", "2", "No difference", "0.", "", "third"]
    for row, text in zip(rows[1:], made, strict=True):
        row[2] += " naïve; “quoted”, " + "long " * 40_000
        row[4], row[5] = text, "Zoë" if encoding != "cp1252" else ""
    with (tmp_path / "carla.csv").open("w", newline="", encoding=encoding) as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    found = read(tmp_path)
    name = "carla" if encoding == "cp1252" else "Zoë"
    expected = ["first", "second", "no_difference", "no_difference"]
    assert choices(found) == {(IDS[i], name): text for i, text in enumerate(expected)}
    assert (found.n_unanswered, found.n_bad) == (1, {"unknown_choice": 1})


def annotation(made: str, user: Any, **more: Any) -> dict[str, Any]:
    region = {"from_name": "choice", "to_name": "instruction", "type": "choices"}
    return {
        "id": 7,
        "completed_by": user,
        "was_cancelled": False,
        "result": [{**region, "value": {"choices": [made]}}],
        "updated_at": "2026-03-09T22:16:08.728353Z",
        **more,
    }


def test_label_studio_export_is_read_with_all_its_annotators(tmp_path: Path) -> None:
    long = "There is no significant difference"  # without the alias, as an edited project has it
    tasks = [
        {
            "id": 1,
            "data": {"pair_id": IDS[0], "instruction": "x"},
            "annotations": [
                annotation("first", 10),
                annotation(long, {"id": 11, "email": "a@b.c"}),
            ],
        },
        {
            "id": 2,
            "data": {"pair_id": IDS[1]},
            "annotations": [annotation("second", 10, was_cancelled=True)],
        },
        {"id": 3, "data": {"pair_id": IDS[2]}, "annotations": []},
        {"id": 4, "data": {"pair_id": IDS[3]}, "annotations": [annotation("first", 10, result=[])]},
    ]
    (tmp_path / "project-1.json").write_text(json.dumps(tasks))
    found = read(tmp_path)
    assert choices(found) == {
        (IDS[0], "label_studio_10"): "first",
        (IDS[0], "label_studio_11"): "no_difference",
    }
    assert (found.n_unanswered, found.n_bad) == (2, {"no_choice": 1})
    assert "a@b.c" not in str(found.frame.rows())


def test_label_studio_json_min_is_read_without_addresses(tmp_path: Path) -> None:
    row = choice(0, "second", id=1, annotator="ada@lab.example", updated_at="2026-03-09T22:16:08Z")
    (tmp_path / "min.json").write_text(json.dumps([row]))
    ((pair_id, annotator),) = choices(read(tmp_path))
    assert pair_id == IDS[0]
    assert annotator.startswith("label_studio_")
    assert "ada" not in annotator


@pytest.mark.parametrize(
    ("text", "reason"), [("{", "not_json"), ("{}", "unknown_format"), ("[3]", "unknown_format")]
)
def test_json_that_is_no_export_is_named_and_the_rest_is_read(
    tmp_path: Path, text: str, reason: str
) -> None:
    (tmp_path / "a.json").write_text(text)
    jsonl(tmp_path / "ada.jsonl", choice(0, "first"))
    found = read(tmp_path)
    assert found.n_bad == {reason: 1}
    assert found.frame.height == 1


def test_other_files_and_hidden_ones_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / ".ada.lock").write_text("")
    (tmp_path / ".tmp-x.jsonl").write_text("{")
    assert read(tmp_path).n_files == 0


def test_rows_are_one_for_each_pair_and_annotator(tmp_path: Path) -> None:
    jsonl(tmp_path / "x.jsonl", choice(0, "1"), choice(0, 1), choice(0, "A"))
    frame = read(tmp_path).frame
    assert frame.select(pl.struct("pair_id", "annotator").n_unique()).item() == frame.height == 1
