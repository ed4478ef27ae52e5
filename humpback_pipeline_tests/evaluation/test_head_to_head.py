"""Models against each other: pairing of answers, the matrix, its tests."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from test_pairwise import PROMPTS, Judge

from humpback_pipeline.evaluation.head_to_head import (
    DifferentPromptsError,
    judge_head_to_head,
    model_pairs,
    overall_rows,
    pair_rows,
    paired_answers,
    small_sample,
)
from humpback_pipeline.evaluation.head_to_head_plot import head_to_head_plot
from humpback_pipeline.generation import Ledger


def answers(outputs: list[str], ids: list[str] | None = None) -> pl.DataFrame:
    names = ids or [f"p{n}" for n in range(len(outputs))]
    return pl.DataFrame(
        {
            "prompt_id": names,
            "instruction": [f"Question {name}?" for name in names],
            "output": outputs,
        }
    )


def judged(model: str, opponent: str, preferences: list[float | None]) -> pl.DataFrame:
    n = len(preferences)
    return pl.DataFrame(
        {
            "model": [model] * n,
            "opponent": [opponent] * n,
            "prompt_id": [f"p{i}" for i in range(n)],
            "preference": preferences,
        },
        schema_overrides={"preference": pl.Float64},
    )


def test_every_two_models_meet_once_the_later_one_first() -> None:
    assert model_pairs(["m0", "m1", "m2"]) == [("m1", "m0"), ("m2", "m0"), ("m2", "m1")]
    assert model_pairs(["m0"]) == []


def test_answers_are_paired_by_prompt_whatever_their_order() -> None:
    both = paired_answers(answers(["a", "b"]), answers(["B", "A"], ["p1", "p0"]))
    assert both.select("output", "reference").rows() == [("a", "A"), ("b", "B")]


@pytest.mark.parametrize(
    ("opponents", "complaint"),
    [
        (answers(["A"]), "2 answers of one model and 1 of the other share 1 prompts"),
        (answers(["A", "B"], ["p0", "p9"]), "share 1 prompts"),
        (
            answers(["A", "B"]).with_columns(instruction=pl.lit("Another?")),
            "'p0' is another text .* 1 more",
        ),
    ],
)
def test_answers_to_other_prompts_are_refused(opponents: pl.DataFrame, complaint: str) -> None:
    with pytest.raises(DifferentPromptsError, match=complaint):
        paired_answers(answers(["a", "b"]), opponents)


def test_equal_answers_are_a_draw_without_asking_and_the_rest_is_asked_once(
    tmp_path: Path,
) -> None:
    judge = Judge(lambda first, second: 0.9 if first == "good" else 0.2)
    pairs = paired_answers(answers(["good", "same\n", "bad"]), answers(["bad", "same", "good"]))
    ledger = Ledger(tmp_path / "m1-m0.jsonl")
    for _ in range(2):
        made = judge_head_to_head(pairs, judge, PROMPTS, ledger=ledger)
        assert [p.prompt_id for p in made] == ["p0", "p1", "p2"]
        assert [p.preference for p in made] == pytest.approx([1.85, 1.5, 1.15])
    assert judge.n_asked == 4


def test_matrix_has_both_directions_and_they_add_up_to_one_hundred() -> None:
    rows = pair_rows(judged("m1", "m0", [2.0, 1.75, 1.5, 1.25, None]))
    ours, theirs = rows
    assert (ours["model"], ours["opponent"], theirs["model"]) == ("m1", "m0", "m0")
    assert ours["rate"] == 62.5
    assert ours["rate"] + theirs["rate"] == pytest.approx(100)
    assert (ours["n_wins"], ours["n_losses"], ours["n_draws"]) == (2, 1, 1)
    assert (theirs["n_wins"], theirs["n_losses"]) == (1, 2)
    assert (ours["n"], ours["n_unusable"]) == (4, 1)
    assert ours["low"] == pytest.approx(100 - theirs["high"])
    assert ours["low"] < 62.5 < ours["high"]
    # Signs of 0.5, 0.25 and -0.25: a mean this far from 0 comes in 6 of 8 flips.
    assert ours["p_value"] == pytest.approx(0.75)
    assert ours["sign_p"] == pytest.approx(1.0)


def test_clear_winner_is_told_from_chance_and_p_is_corrected_for_all_pairs() -> None:
    better = [1.6 + 0.01 * i for i in range(10)]
    even = [1.4, 1.6] * 5
    frames = [judged("m1", "m0", better), judged("m2", "m0", even), judged("m2", "m1", even)]
    rows = {(row["model"], row["opponent"]): row for row in pair_rows(pl.concat(frames))}
    clear = rows["m1", "m0"]
    assert clear["p_value"] == pytest.approx(2 / 2**10)
    assert clear["p_adjusted"] == pytest.approx(3 * 2 / 2**10)
    assert clear["sign_p"] == pytest.approx(2 / 2**10)
    assert rows["m2", "m1"]["p_adjusted"] == 1.0


def test_pair_without_a_verdict_is_left_out_and_one_prompt_proves_nothing() -> None:
    frames = [judged("m1", "m0", [None, None]), judged("m2", "m0", [2.0])]
    rows = pair_rows(pl.concat(frames))
    assert {(row["model"], row["opponent"]) for row in rows} == {("m2", "m0"), ("m0", "m2")}
    assert rows[0]["p_value"] == 1.0
    assert math.isnan(rows[0]["standard_error"])
    assert rows[0]["low"] < 50
    assert "1 prompts" in str(small_sample(rows))
    assert small_sample([]) is None


def test_overall_rate_weighs_opponents_alike_and_counts_prompts_not_comparisons() -> None:
    frames = [
        judged("m1", "m0", [2.0, 1.0]),
        judged("m2", "m0", [1.5, 1.5]),
        judged("m2", "m1", [2.0, 2.0]),
    ]
    rows = {row["model"]: row for row in overall_rows(pl.concat(frames), ["m0", "m1", "m2"])}
    assert rows["m2"]["rate"] == pytest.approx(75)
    assert rows["m1"]["rate"] == pytest.approx(25)
    assert rows["m0"]["rate"] == pytest.approx(50)
    assert list(rows) == ["m2", "m0", "m1"]
    assert {(row["n"], row["n_opponents"]) for row in rows.values()} == {(2, 2)}


def test_heat_map_is_drawn_for_some_many_and_no_pairs() -> None:
    frames = [judged(a, b, [1.9] * 12) for a, b in model_pairs(["m0", "m1", "m2"])]
    rows = pair_rows(pl.concat(frames))
    full = head_to_head_plot(rows, ["m0", "m1", "m2"])
    assert full.startswith(b"\x89PNG")
    assert full == head_to_head_plot(rows, ["m0", "m1", "m2"])
    assert full != head_to_head_plot(rows[:2], ["m0", "m1", "m2"])
    assert head_to_head_plot([], ["m0"]).startswith(b"\x89PNG")


def test_tests_hold_their_level_when_models_are_alike() -> None:
    rng = np.random.default_rng(0)
    false_alarms = 0
    for _ in range(120):
        values = [float(v) for v in rng.uniform(1.2, 1.8, 9)]
        false_alarms += pair_rows(judged("m1", "m0", values))[0]["p_value"] < 0.05
    assert false_alarms <= 12
