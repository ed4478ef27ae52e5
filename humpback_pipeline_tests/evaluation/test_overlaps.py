"""Which prompt shares which words with which pair, and how much of it that is."""

from __future__ import annotations

import polars as pl
import pytest

from humpback_pipeline.evaluation.contamination import (
    OVERLAP_SCHEMA,
    HeldOutText,
    OverlapFinder,
    overlap_counts,
    shared_run,
)


def numbered(first: int, count: int) -> str:
    return " ".join(f"term{n}" for n in range(first, first + count))


def held(*texts: str, part: str = "instruction") -> list[HeldOutText]:
    return [HeldOutText("evaluation", f"p{n}", part, text) for n, text in enumerate(texts)]


def pairs(*rows: tuple[str, str]) -> pl.DataFrame:
    listed = [(f"a{n}", *row) for n, row in enumerate(rows)]
    return pl.DataFrame(listed, schema=["pair_id", "instruction", "output"], orient="row")


def test_row_names_prompt_pair_run_and_share_of_the_prompt() -> None:
    prompt = numbered(0, 40)
    frame = OverlapFinder(held(prompt)).find(
        "seeds", pairs(("Tell me.", "clean"), ("Do.", f"Before, {numbered(10, 20)}! After."))
    )
    assert dict(frame.schema) == OVERLAP_SCHEMA
    (row,) = frame.rows(named=True)
    assert (row["prompt_id"], row["dataset"], row["pair_id"]) == ("p0", "seeds", "a1")
    assert (row["part"], row["field"], row["n_words"]) == ("instruction", "output", 20)
    assert row["covered"] == pytest.approx(20 / 40)
    assert row["words"] == numbered(10, 20)


def test_several_runs_add_up_to_the_share_and_the_longest_is_shown() -> None:
    text = f"{numbered(0, 13)} and then {numbered(20, 15)}"
    (row,) = OverlapFinder(held(numbered(0, 40))).find("s", pairs((text, "x"))).rows(named=True)
    assert (row["n_words"], row["words"]) == (15, numbered(20, 15))
    assert row["covered"] == pytest.approx(28 / 40)


def test_runs_that_only_follow_each_other_in_the_prompt_are_not_one_run() -> None:
    # Words 0-13 and 1-14 are both in the pair, but apart: no run of 14 is.
    words = f"{numbered(0, 13)} x {numbered(1, 13)}".split()
    found = shared_run(numbered(0, 20).split(), words, 13)
    assert found is not None
    assert len(found.words) == 13
    assert found.covered == pytest.approx(14 / 20)


def test_repeated_words_do_not_make_a_run_longer_than_it_is() -> None:
    found = shared_run(["a"] * 20, ["a"] * 15, 13)
    assert found is not None
    assert (len(found.words), found.covered) == (15, 1.0)
    assert shared_run(["a"] * 20, ["a"] * 12, 13) is None


@pytest.mark.parametrize(
    ("prompt", "output", "is_found"),
    [
        (numbered(0, 8), f"We ask {numbered(0, 8)} today.", True),  # eight words count as a whole
        (numbered(0, 7), f"We ask {numbered(0, 7)} today.", False),  # fewer only if they are all
        (numbered(0, 7), numbered(0, 7).upper() + "?", True),
        (numbered(0, 12), numbered(0, 11), False),
    ],
)
def test_short_prompts_follow_the_index_s_rule(prompt: str, output: str, is_found: bool) -> None:
    frame = OverlapFinder(held(prompt)).find("s", pairs(("x", output)))
    assert frame.height == int(is_found)
    if is_found:
        assert frame["covered"].item() == 1.0
        assert frame["n_words"].item() == len(prompt.split())


def test_every_prompt_that_shares_a_run_is_named_and_counted_once() -> None:
    prompts = [*held(numbered(0, 20), numbered(5, 20)), *held(numbered(0, 20), part="reference")]
    finder = OverlapFinder(prompts)
    rows = pairs((numbered(0, 20), numbered(0, 25)), ("clean", "text"))
    frame = finder.find("s", rows)
    # The instruction meets three texts (the second by 15 words), and so does the output.
    assert frame.height == 6
    assert finder.contaminated(rows).to_list() == [True, False]
    (counts,) = overlap_counts(frame, {"s": 2})
    assert (counts["contaminated_pairs"], counts["contaminated_prompts"]) == (1, 2)
    assert counts["evaluation_prompts"] == 2
    assert counts["share_of_pairs"] == 0.5
    assert overlap_counts(frame, {"other": 0})[0]["share_of_pairs"] == 0.0


def test_what_is_found_agrees_with_what_is_flagged() -> None:
    prompts = held(*(numbered(7 * n, 9 + n) for n in range(12)))
    rows = pairs(*((numbered(5 * n, 8 + n), numbered(3 * n, 6 + 2 * n)) for n in range(15)))
    finder = OverlapFinder(prompts)
    flagged = rows.filter(finder.contaminated(rows))["pair_id"]
    assert set(finder.find("s", rows)["pair_id"]) == set(flagged)
    assert 0 < len(flagged) < rows.height


def test_other_run_lengths_and_empty_inputs() -> None:
    assert OverlapFinder(held(numbered(0, 20)), 5).find("s", pairs((numbered(3, 5), ""))).height
    assert OverlapFinder([]).find("s", pairs((numbered(0, 30), "x"))).is_empty()
    assert OverlapFinder(held("", "x y")).find("s", pairs()).is_empty()
