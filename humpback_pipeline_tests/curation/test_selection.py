"""Selection and decontamination: the rule decides, ties never do, every drop has a reason."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.curation import ContaminationIndex, select_pairs
from humpback_pipeline.recipe_curation import SelectionRecipe

WORDS = [f"word{n}" for n in range(40)]


def rated(*ratings: float, **columns: list[str]) -> pl.DataFrame:
    ids = [f"s{n:03}" for n in range(len(ratings))]
    frame = {
        "segment_id": ids,
        "instruction": [f"Explain subject {name}." for name in ids],
        "output": [f"Text about {name}." for name in ids],
        "rating": list(ratings),
    }
    return pl.DataFrame(
        frame | columns,
        schema={
            "segment_id": pl.String,
            "instruction": pl.String,
            "output": pl.String,
            "rating": pl.Float64,
        },
    )


def seeds(*rows: tuple[str, str, str]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=["instruction", "output", "split"], orient="row")


def test_minimum_rating_keeps_ratings_at_the_threshold() -> None:
    result = select_pairs(rated(4.4, 4.5, 5.0), SelectionRecipe(min_rating=4.5))

    assert result.kept["segment_id"].to_list() == ["s002", "s001"]
    assert result.dropped == {"low_rating": 1}


def test_top_fraction_breaks_ties_by_segment() -> None:
    result = select_pairs(rated(3.0, 3.0, 3.0, 2.0), SelectionRecipe(top_fraction=0.5))

    assert result.kept["segment_id"].to_list() == ["s000", "s001"]
    assert result.dropped == {"below_top_fraction": 2}


def test_both_rules_must_be_passed() -> None:
    rule = SelectionRecipe(min_rating=4.0, top_fraction=0.5)

    assert select_pairs(rated(5.0, 3.9, 1.0, 1.0), rule).kept.height == 1
    assert select_pairs(rated(5.0, 4.9, 4.8, 4.7), rule).kept.height == 2


def test_nothing_rated_high_enough_is_an_empty_result_with_counts() -> None:
    result = select_pairs(rated(1.0, 2.0), SelectionRecipe(min_rating=4.5))

    assert result.kept.is_empty()
    assert result.kept.columns == ["segment_id", "instruction", "output", "rating"]
    assert result.dropped == {"low_rating": 2}


def test_no_rows_at_all_is_an_empty_result() -> None:
    assert select_pairs(rated(), SelectionRecipe(top_fraction=0.5)).dropped == {}


@given(
    ratings=st.lists(st.floats(1.0, 5.0), max_size=30),
    min_rating=st.none() | st.floats(1.0, 5.0),
    top_fraction=st.none() | st.floats(0.01, 1.0),
    seed=st.randoms(),
)
def test_selection_holds_its_rule_and_ignores_row_order(
    ratings: list[float], min_rating: float | None, top_fraction: float | None, seed: object
) -> None:
    if min_rating is None and top_fraction is None:
        min_rating = 3.0
    rule = SelectionRecipe(min_rating=min_rating, top_fraction=top_fraction)
    frame = rated(*ratings)
    shuffled = frame.sample(fraction=1.0, shuffle=True, seed=seed.getrandbits(32))  # type: ignore[attr-defined]

    result = select_pairs(frame, rule)

    assert result.kept.equals(select_pairs(shuffled, rule).kept)
    assert result.kept.height + sum(result.dropped.values()) == len(ratings)
    if result.kept.height:
        lowest = result.kept["rating"].min()
        assert min_rating is None or lowest >= min_rating
        assert result.dropped_rows.filter(pl.col("rating") > lowest).is_empty()
    if top_fraction is not None and ratings:
        assert result.kept.height <= max(1, round(len(ratings) * top_fraction))


def test_pair_with_a_seeds_instruction_is_dropped() -> None:
    result = select_pairs(
        rated(5.0, 5.0, instruction=["  name THREE tides!", "Name four tides."]),
        SelectionRecipe(min_rating=4.5),
        seeds=seeds(("Name three tides.", "…", "train")),
    )

    assert result.dropped == {"seed_instruction": 1}
    assert result.dropped_rows["segment_id"].to_list() == ["s000"]


def test_text_shared_with_held_out_seeds_or_evaluation_is_dropped() -> None:
    shared, own = " ".join(WORDS[:20]), " ".join(WORDS[20:])
    frame = rated(5.0, 5.0, output=[f"It begins: {shared}, and ends.", own])
    rule = SelectionRecipe(min_rating=4.5)

    held_out = select_pairs(frame, rule, seeds=seeds(("Ask.", shared, "dev")))
    trained_on = select_pairs(frame, rule, seeds=seeds(("Ask.", shared, "train")))
    evaluated = select_pairs(frame, rule, evaluation_texts=[shared])

    assert held_out.dropped == evaluated.dropped == {"contaminated": 1}
    assert held_out.kept["segment_id"].to_list() == ["s001"]
    assert trained_on.dropped == {}


def test_same_pair_twice_is_kept_once_with_its_better_rating() -> None:
    frame = rated(4.6, 4.9, instruction=["Why?", "why"], output=["Because.", "because"])

    result = select_pairs(frame, SelectionRecipe(min_rating=4.5))

    assert result.kept["rating"].to_list() == [4.9]
    assert result.dropped == {"duplicate_pair": 1}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (" ".join(WORDS[3:16]), True),  # 13 words in a row
        (" ".join(WORDS[3:15]), False),  # 12
        ("; ".join(WORDS[3:16]).upper(), True),
        ("name a famous tide", True),
        ("Please name a famous tide", False),  # too short to be found inside another text
        ("Which famous actors began their careers on Broadway? Tell me.", True),
        ("", False),
    ],
)
def test_index_finds_long_runs_and_whole_short_texts(text: str, found: bool) -> None:
    held_out = [
        " ".join(WORDS),
        "Name a famous tide.",
        "Which famous actors began their careers on Broadway?",
        "",
    ]

    assert ContaminationIndex(held_out, 13).matches(text) is found


@given(st.lists(st.sampled_from(WORDS), min_size=13, max_size=60), st.data())
def test_every_run_of_a_held_out_text_is_found(words: list[str], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(words) - 13))
    run = " ".join(words[start : start + 13])

    assert ContaminationIndex([" ".join(words)], 13).matches(f"before {run} after")
