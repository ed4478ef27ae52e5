"""Rules of the selection that look beyond one rating: best k, precision, near duplicates."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.curation.precision import find_target_precision, precision_at
from humpback_pipeline.curation.selection import select_pairs
from humpback_pipeline.recipe_curation import SelectionRecipe

SUBJECTS = ("the spring tide in a bay", "old apple trees and frost", "a leaking kitchen tap")


def rated(*rows: tuple[float | None, str]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "segment_id": [f"s{n:03}" for n in range(len(rows))],
            "instruction": [text for _, text in rows],
            "output": [f"Text number {n}." for n in range(len(rows))],
            "rating": [rating for rating, _ in rows],
        },
        schema_overrides={"rating": pl.Float64},
    )


def plain(*ratings: float | None) -> pl.DataFrame:
    return rated(*((rating, f"Ask subject{n}.") for n, rating in enumerate(ratings)))


def labelled(*rows: tuple[float | None, int | None]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema={"rating": pl.Float64, "label": pl.Int64}, orient="row")


def seeds(*instructions: str) -> pl.DataFrame:
    rows = [(text, "…", "train") for text in instructions]
    return pl.DataFrame(rows, schema=["instruction", "output", "split"], orient="row")


def test_top_k_counts_pairs_that_can_be_used() -> None:
    frame = rated((5.0, "Why?"), (4.9, "why"), (4.8, "How?"), (4.7, "When?"))
    result = select_pairs(frame, SelectionRecipe(top_k=2))
    assert result.kept["segment_id"].to_list() == ["s000", "s002"]
    assert result.dropped == {"near_duplicate_instruction": 1, "below_top_k": 1}


def test_all_rules_given_must_be_passed() -> None:
    rule = SelectionRecipe(min_rating=3.0, top_fraction=0.8, top_k=2)
    result = select_pairs(plain(5.0, 4.0, 3.5, 2.0, 1.0), rule)
    assert result.kept["rating"].to_list() == [5.0, 4.0]
    assert result.dropped == {"low_rating": 2, "below_top_k": 1}
    assert result.cut == 4.0


def test_cut_is_the_lowest_rating_within_top_k() -> None:
    assert select_pairs(plain(4.0, 3.0, 2.0), SelectionRecipe(top_k=1)).cut == 4.0


def test_equal_ratings_are_ranked_by_the_scorers_own_number() -> None:
    frame = plain(5.0, 5.0, 5.0, 4.0).with_columns(value=pl.Series([-0.3, -0.1, None, 9.0]))
    kept = select_pairs(frame, SelectionRecipe(top_k=2)).kept
    assert kept["segment_id"].to_list() == ["s001", "s000"]


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_pair_without_a_rating_is_dropped_whatever_the_rule(missing: float | None) -> None:
    result = select_pairs(plain(missing, 2.0), SelectionRecipe(top_fraction=1.0))
    assert result.kept["rating"].to_list() == [2.0]
    assert result.dropped == {"not_rated": 1}


def test_target_precision_takes_the_lowest_threshold_that_reaches_it() -> None:
    pairs = labelled((4.5, 1), (4.0, 1), (3.5, 0), (3.0, 1), (2.0, 0), (1.0, 0))
    result = select_pairs(
        plain(4.2, 3.2, 3.0, 2.9), SelectionRecipe(target_precision=0.75), labelled=pairs
    )
    # At 3.0 three of four are good, at 2.0 three of five.
    assert result.target is not None
    assert result.target.found is not None
    assert (result.target.found.threshold, result.target.found.precision) == (3.0, 0.75)
    assert result.kept["rating"].to_list() == [4.2, 3.2, 3.0]
    assert result.dropped == {"below_target_precision": 1}


def test_target_that_no_threshold_reaches_keeps_nothing_and_names_the_best() -> None:
    pairs = labelled((4.0, 0), (3.0, 1), (3.0, 1), (2.0, 0))
    result = select_pairs(plain(5.0), SelectionRecipe(target_precision=0.9), labelled=pairs)
    assert result.kept.is_empty()
    assert result.cut is None
    assert result.dropped == {"below_target_precision": 1}
    assert result.target is not None
    assert result.target.found is None
    assert result.target.best.precision == pytest.approx(2 / 3)
    assert "precision 0.67 at ratings of 3.00 or more (2 of 3" in str(result.target.best)


def test_interval_of_a_precision_is_wilsons() -> None:
    # Wilson (1927): 1 of 1 and 9 of 10 at z = 1.96, worked out by hand.
    one = precision_at(labelled((3.0, 1)), 2.0)
    ten = precision_at(labelled(*[(3.0, int(n > 0)) for n in range(10)]), 2.0)
    assert one is not None
    assert ten is not None
    assert (one.low, one.high) == (pytest.approx(0.2065, abs=1e-3), pytest.approx(1.0))
    assert (ten.low, ten.high) == (
        pytest.approx(0.5958, abs=1e-3),
        pytest.approx(0.9821, abs=1e-3),
    )
    assert precision_at(labelled((1.0, 1)), 2.0) is None


def test_target_precision_without_labels_says_what_it_needs() -> None:
    rule = SelectionRecipe(target_precision=0.9)
    for pairs in (None, labelled(), labelled((None, 1), (3.0, None))):
        with pytest.raises(ValueError, match=r"evaluation\.labelled_pairs"):
            select_pairs(plain(5.0), rule, labelled=pairs)


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1)), min_size=1, max_size=30),
    st.floats(0.05, 1.0),
)
def test_found_threshold_is_the_lowest_by_exhaustive_search(
    rows: list[tuple[int, int]], target: float
) -> None:
    pairs = labelled(*((rating / 2, label) for rating, label in rows))
    precisions = {}
    for threshold in sorted({rating / 2 for rating, _ in rows}):
        chosen = [label for rating, label in rows if rating / 2 >= threshold]
        precisions[threshold] = sum(chosen) / len(chosen)
    reached = [t for t, precision in precisions.items() if precision >= target - 1e-9]
    found = find_target_precision(pairs, target)
    assert (found.found.threshold if found.found else None) == (reached[0] if reached else None)
    assert found.best.precision == pytest.approx(max(precisions.values()))


def test_best_rated_of_near_duplicate_instructions_is_kept() -> None:
    frame = rated(
        (4.0, f"Explain {SUBJECTS[0]}."),
        (4.5, f"Please explain {SUBJECTS[0]}"),
        (4.2, f"Explain {SUBJECTS[1]}."),
    )
    result = select_pairs(frame, SelectionRecipe(min_rating=1.0))
    assert result.kept["segment_id"].to_list() == ["s001", "s002"]
    assert result.dropped == {"near_duplicate_instruction": 1}
    everything = SelectionRecipe(min_rating=1.0, near_duplicate_threshold=None)
    assert select_pairs(frame, everything).dropped == {}


def test_pair_that_goes_itself_takes_no_other_with_it() -> None:
    run = " ".join(f"word{n}" for n in range(13))
    frame = rated((5.0, f"Explain {SUBJECTS[0]}."), (4.0, f"Do explain {SUBJECTS[0]}."))
    frame = frame.with_columns(output=pl.Series([run, "Another text."]))
    result = select_pairs(frame, SelectionRecipe(min_rating=1.0), evaluation_texts=[run])
    assert result.kept["segment_id"].to_list() == ["s001"]
    assert result.dropped == {"contaminated": 1}


def test_instructions_like_a_seeds_or_a_prompts_are_dropped() -> None:
    frame = rated(
        (5.0, f"Please explain {SUBJECTS[0]}."),
        (4.0, f"Please mend {SUBJECTS[2]}."),
        (3.0, f"Explain {SUBJECTS[1]}."),
    )
    result = select_pairs(
        frame,
        SelectionRecipe(min_rating=1.0),
        seeds=seeds(f"Explain {SUBJECTS[0]}."),
        evaluation_texts=[f"Mend {SUBJECTS[2]}"],
    )
    assert result.kept["segment_id"].to_list() == ["s002"]
    assert result.dropped == {"seed_instruction": 1, "contaminated": 1}


def test_lazy_frame_gives_what_the_frame_gives() -> None:
    frame = rated(*((1 + n % 5, f"Ask for item{n % 40}.") for n in range(200)))
    rule = SelectionRecipe(min_rating=2.0, top_k=25)
    eager, lazy = select_pairs(frame, rule), select_pairs(frame.lazy(), rule)
    assert eager.kept.equals(lazy.kept)
    assert eager.dropped_rows.equals(lazy.dropped_rows)
    assert eager.kept.height == 25
