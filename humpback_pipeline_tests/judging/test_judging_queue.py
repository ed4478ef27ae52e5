"""An annotator's way through the pairs, and its journal."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from human_judging import export

from humpback_pipeline.evaluation.human_judgements import read_judgements
from humpback_pipeline.judging import (
    AnnotatorNameError,
    BlindedPair,
    JudgingQueue,
    StalePairError,
    judged_by_others,
    read_pairs,
)

PAIRS = [BlindedPair(f"pair-{n}", "ask", "one", "two") for n in range(4)]
NAMES = [pair.pair_id for pair in PAIRS]


def current(queue: JudgingQueue) -> str | None:
    pair = queue.state()["pair"]
    return pair and pair["pair_id"]


def test_pairs_come_in_their_order_and_then_nothing(tmp_path: Path) -> None:
    queue = JudgingQueue(PAIRS, tmp_path, "ada")
    assert not queue.state()["can_undo"]
    for n, name in enumerate(NAMES):
        assert current(queue) == name
        state = queue.answer(name, "first")
        assert (state["n_judged"], state["n_total"]) == (n + 1, 4)
    assert current(queue) is None


def test_every_answer_is_on_disk_at_once_and_a_new_start_goes_on(tmp_path: Path) -> None:
    queue = JudgingQueue(PAIRS, tmp_path, "ada")
    queue.answer("pair-0", "second")
    (row,) = map(json.loads, (tmp_path / "ada.jsonl").read_text().splitlines())
    assert (row["pair_id"], row["choice"], row["annotator"]) == ("pair-0", "second", "ada")
    assert row["judged_at"].endswith("+00:00")
    again = JudgingQueue(PAIRS, tmp_path, "ada")
    assert again.state() == queue.state()
    assert current(JudgingQueue(PAIRS, tmp_path, "bob")) == "pair-0"


def test_undo_reopens_the_latest_also_after_a_new_start(tmp_path: Path) -> None:
    queue = JudgingQueue(PAIRS, tmp_path, "ada")
    for name in NAMES[:3]:
        queue.answer(name, "first")
    queue.undo()
    queue = JudgingQueue(PAIRS, tmp_path, "ada")
    assert (current(queue), queue.state()["n_judged"]) == ("pair-2", 2)
    queue.undo()
    assert current(queue) == "pair-1"
    queue.answer("pair-1", "no_difference")
    assert current(queue) == "pair-2"
    assert current(JudgingQueue(PAIRS, tmp_path, "ada")) == "pair-2"
    queue.undo()
    queue.undo()
    assert queue.undo()["can_undo"] is False


def test_skipped_pairs_come_again_at_the_end(tmp_path: Path) -> None:
    queue = JudgingQueue(PAIRS, tmp_path, "ada")
    queue.answer("pair-0", "skipped")
    queue.answer("pair-1", "skipped")
    queue.answer("pair-2", "first")
    queue.answer("pair-3", "first")
    assert queue.state()["n_skipped"] == 2
    queue.answer("pair-0", "skipped")
    assert current(queue) == "pair-1"
    queue.answer("pair-1", "second")
    queue.answer("pair-0", "second")
    assert current(JudgingQueue(PAIRS, tmp_path, "ada")) is None


def test_answer_to_another_pair_than_the_current_is_refused(tmp_path: Path) -> None:
    queue = JudgingQueue(PAIRS, tmp_path, "ada")
    queue.answer("pair-0", "first")
    for name in ("pair-0", "pair-2", "pair-9"):
        with pytest.raises(StalePairError):
            queue.answer(name, "first")
    with pytest.raises(ValueError, match="'undone' is none of first, second"):
        queue.answer("pair-1", "undone")
    assert len((tmp_path / "ada.jsonl").read_text().splitlines()) == 1


def test_line_torn_by_a_power_cut_costs_that_line_only(tmp_path: Path) -> None:
    queue = JudgingQueue(PAIRS, tmp_path, "ada")
    queue.answer("pair-0", "first")
    with queue.path.open("a") as file:
        file.write('{"pair_id": "pair-1", "cho')
    queue = JudgingQueue(PAIRS, tmp_path, "ada")
    queue.answer("pair-1", "second")
    assert current(JudgingQueue(PAIRS, tmp_path, "ada")) == "pair-2"


def test_answer_that_cannot_be_written_changes_nothing(tmp_path: Path) -> None:
    queue = JudgingQueue(PAIRS, tmp_path, "ada")
    (tmp_path / "ada.jsonl").mkdir()
    with pytest.raises(OSError, match="ada"):
        queue.answer("pair-0", "first")
    assert current(queue) == "pair-0"


def test_pairs_with_enough_judgements_of_others_are_left_out(tmp_path: Path) -> None:
    for annotator in ("bob", "eve"):
        other = JudgingQueue(PAIRS, tmp_path, annotator)
        other.answer("pair-0", "first")
        other.answer("pair-1", "first")
    JudgingQueue(PAIRS, tmp_path, "eve").undo()
    found = judged_by_others(tmp_path, "ada")
    assert found == {"pair-0": 2, "pair-1": 1}
    assert judged_by_others(tmp_path, "bob") == {"pair-0": 1}
    mine = JudgingQueue(PAIRS, tmp_path, "ada", frozenset({"pair-0"}))
    assert (current(mine), mine.state()["n_total"]) == ("pair-1", 3)


def test_pair_taken_back_that_others_have_judged_since_is_left_out(tmp_path: Path) -> None:
    queue = JudgingQueue(PAIRS, tmp_path, "ada")
    queue.answer("pair-0", "first")
    queue.undo()
    again = JudgingQueue(PAIRS, tmp_path, "ada", frozenset({"pair-0"}))
    assert current(again) == "pair-1"
    assert again.state()["n_total"] == 3


def test_own_answers_stay_counted_when_others_have_judged_enough(tmp_path: Path) -> None:
    JudgingQueue(PAIRS, tmp_path, "ada").answer("pair-0", "first")
    again = JudgingQueue(PAIRS, tmp_path, "ada", frozenset(NAMES))
    assert (again.state()["n_judged"], again.state()["n_total"]) == (1, 1)


def test_answers_to_pairs_that_were_replaced_are_not_counted(tmp_path: Path) -> None:
    JudgingQueue(PAIRS, tmp_path, "ada").answer("pair-0", "first")
    state = JudgingQueue(PAIRS[1:], tmp_path, "ada").state()
    assert (state["n_judged"], state["can_undo"]) == (0, False)


@pytest.mark.parametrize("name", ["", "../ada", "a b", ".ada", "a" * 65])
def test_name_that_is_no_file_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(AnnotatorNameError, match="letters, digits"):
        JudgingQueue(PAIRS, tmp_path, name)


def test_exported_pairs_are_judged_and_imported(tmp_path: Path) -> None:
    frame = export(tmp_path)
    folder = tmp_path / "judgements"
    pairs = read_pairs(tmp_path / "for_annotators" / "pairs.jsonl")
    assert [pair.pair_id for pair in pairs] == frame["pair_id"].to_list()
    queue = JudgingQueue(pairs, folder, "ada")
    for row in frame.iter_rows(named=True):
        queue.answer(row["pair_id"], "first" if row["first_model"] == "m2" else "second")
    found = read_judgements(folder, frame)
    assert found.frame["outcome"].to_list() == ["win"] * frame.height


def test_file_of_pairs_that_is_none_is_named_with_its_line(tmp_path: Path) -> None:
    (path := tmp_path / "pairs.jsonl").write_text('\n{"pair_id": "x"}\n')
    with pytest.raises(ValueError, match=r"pairs\.jsonl:2: not a pair .* materialise"):
        read_pairs(path)
