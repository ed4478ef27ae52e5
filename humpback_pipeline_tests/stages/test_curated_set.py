"""The curated set as a stage: its facts, its comparison with the last, when iterating ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from curated_home import SHARD, CuratedHome

from humpback_pipeline.stages.carrying import is_carried
from humpback_pipeline.stages.iteration import CURATED_SCHEMA, StaleRatingsError
from humpback_pipeline.stages.iteration_names import calibration_name
from humpback_pipeline.stages.stopping import decide_stop, stopped_at
from humpback_pipeline.storage import NotMaterializedError

BEST_FIVE = "{min_rating: 3.0, near_duplicate_threshold: null}"
# M_0 takes the first five, M_1 one other instead of the fifth, M_2 the same as M_1.
FIRST = [5.0, 4.8, 4.6, 4.4, 4.2, 2.0, 1.9, 1.8, 1.7, 1.6]
SECOND = [5.0, 4.8, 4.6, 4.4, 1.0, 4.0, 1.9, 1.8, 1.7, 1.6]
GOOD_RATER = [5.0, 4.5, 4.0, 3.5, 2.0, 2.0, 2.0, 2.0]
POOR_RATER = [5.0, 4.5, 1.0, 1.0, 4.0, 3.5, 2.0, 2.0]


@pytest.fixture
def home(tmp_path: Path) -> CuratedHome:
    return CuratedHome(tmp_path, {"curation__selection": BEST_FIVE})


def with_stop(home: CuratedHome, rule: str) -> None:
    home.open(curation__selection=BEST_FIVE, curation__stop=rule)


def test_set_tells_how_good_its_rater_is_on_labelled_pairs(home: CuratedHome) -> None:
    home.rate(1, FIRST, POOR_RATER)
    facts = home.select(1).facts
    assert home.kept(1) == ["s0", "s1", "s2", "s3", "s4"]
    quality = facts["quality"]
    assert (quality["rater"], quality["threshold"], quality["labelled_kept"]) == ("m0", 4.2, 2)
    # At 4.2, the lowest rating let through, two labelled pairs are kept, both good, of four good.
    assert (quality["precision"], quality["recall"]) == (1.0, 0.5)
    assert quality["precision_low"] == pytest.approx(0.342, abs=0.001)
    # Of 16 good-bad pairs: 5.0 and 4.5 win all four each, the two 1.0 lose all.
    assert quality["auc"] == 0.5
    assert facts["overlap"] is None
    assert [row["iteration"] for row in facts["iterations"]] == [1]
    assert sum(row["rated"] for row in facts["histogram"]) == 10
    assert sum(row["kept"] for row in facts["histogram"]) == 5


def test_rater_without_labelled_pairs_has_no_quality_rather_than_a_wrong_one(
    home: CuratedHome,
) -> None:
    home.rate(1, FIRST)
    quality = home.select(1).facts["quality"]
    assert quality["labelled"] == 0
    assert [quality[name] for name in ("precision", "recall", "auc")] == [None] * 3


def test_second_set_is_compared_with_the_first(home: CuratedHome) -> None:
    home.rate(1, FIRST, GOOD_RATER)
    home.select(1)
    home.rate(2, SECOND, POOR_RATER)
    facts = home.select(2).facts
    overlap = facts["overlap"]
    assert overlap["jaccard"] == pytest.approx(4 / 6)
    assert (overlap["in_both"], overlap["gained"], overlap["lost"]) == (4, 1, 1)
    (gained,), (lost,) = overlap["gained_samples"], overlap["lost_samples"]
    assert (gained["segment_id"], gained["rating_before"], gained["rating"]) == ("s5", 2.0, 4.0)
    assert (lost["segment_id"], lost["rating_before"], lost["rating"]) == ("s4", 4.2, 1.0)
    assert gained["instruction"] == "Ask about bread."
    both = pl.DataFrame({"a": FIRST, "b": SECOND})
    assert overlap["rating_correlation"] == pytest.approx(both.select(pl.corr("a", "b")).item())
    first, second = facts["iterations"]
    assert (first["precision"], first["auc"], first["jaccard"]) == (1.0, 1.0, None)
    assert (second["rater"], second["jaccard"]) == ("m1", overlap["jaccard"])
    assert facts["stopped"] is None


def test_ratings_all_alike_have_no_correlation(home: CuratedHome) -> None:
    home.rate(1, FIRST, GOOD_RATER)
    home.select(1)
    home.rate(2, [3.0] * 10, GOOD_RATER)
    overlap = home.select(2).facts["overlap"]
    assert overlap["rating_correlation"] is overlap["rank_correlation"] is None


def test_set_of_an_earlier_release_cannot_be_compared_with(home: CuratedHome) -> None:
    home.rate(1, FIRST, GOOD_RATER)
    home.select(1)
    frame = home.workspace.datasets.read("curated_set_1")
    home.workspace.datasets.write("curated_set_1", frame, schema=CURATED_SCHEMA)
    home.rate(2, SECOND, GOOD_RATER)
    with pytest.raises(StaleRatingsError, match="materialise curated_set_1 first"):
        home.select(2)


def test_target_precision_uses_this_raters_own_labelled_ratings(home: CuratedHome) -> None:
    home.open(
        curation__selection="{target_precision: 0.75, near_duplicate_threshold: null}",
    )
    home.rate(1, FIRST, POOR_RATER)
    facts = home.select(1).facts
    # 4.5 is the lowest at which three of four would be good: 2 of 2; at 4.0 two of three are.
    assert home.kept(1) == ["s0", "s1", "s2"]
    assert facts["target_reached"] is True
    assert "2 of 2 labelled pairs good; 95 % interval 0.34 to 1.00" in facts["target_precision"]


def test_target_out_of_reach_leaves_nothing_and_says_what_could_be_had(home: CuratedHome) -> None:
    home.open(curation__selection="{target_precision: 0.9, near_duplicate_threshold: null}")
    home.rate(1, FIRST, [3.0] * 8)
    facts = home.select(1).facts
    assert home.kept(1) == []
    assert facts["target_reached"] is False
    assert "the best is precision 0.50" in facts["advice"]
    assert facts["dropped"] == {"below_target_precision": 10}


def test_near_duplicates_are_named_with_samples(home: CuratedHome) -> None:
    home.open(curation__selection="{top_k: 3}")
    home.write_pairs(["Explain how a spring tide works", "Explain how a spring tide works now"])
    home.rate(1, [4.0, 5.0], GOOD_RATER)
    facts = home.select(1).facts
    assert home.kept(1) == ["s1"]
    (sample,) = facts["drop_samples"]
    assert (sample["reason"], sample["segment_id"]) == ("near_duplicate_instruction", "s0")


def test_threshold_changes_without_a_new_rating(home: CuratedHome) -> None:
    home.rate(1, FIRST, GOOD_RATER)
    home.select(1)
    scores = home.workspace.datasets.manifest("curation_scores_1", SHARD).version
    home.open(curation__selection="{min_rating: 4.7}")
    home.select(1)
    assert home.kept(1) == ["s0", "s1"]
    assert home.workspace.datasets.manifest("curation_scores_1", SHARD).version == scores


def test_other_texts_of_equal_ratings_are_another_set(home: CuratedHome) -> None:
    home.rate(1, FIRST, GOOD_RATER)
    first = home.select(1)
    assert home.select(1).version == first.version
    home.write_pairs([f"Tell of subject {n}." for n in range(len(FIRST))])
    with pytest.raises(StaleRatingsError, match="curation_scores_1"):
        home.select(1)
    home.rate(1, FIRST, GOOD_RATER)
    assert home.select(1).content_hash != first.content_hash


def test_set_without_its_raters_calibration_is_refused(home: CuratedHome) -> None:
    home.rate(1, FIRST, GOOD_RATER)
    (home.workspace.datasets.versions(calibration_name(1)).folder / "CURRENT").unlink()
    with pytest.raises(NotMaterializedError, match="rater_calibration_1"):
        home.select(1)


def test_nearly_equal_sets_end_iterating_and_the_last_is_carried_on(home: CuratedHome) -> None:
    with_stop(home, "{min_jaccard: 0.6}")
    home.rate(1, FIRST, GOOD_RATER)
    first = home.select(1)
    home.rate(2, SECOND, GOOD_RATER)
    second = home.select(2)
    assert second.facts["stopped"]["iteration"] == 2
    assert second.facts["carried_from"] == "curated_set_1"
    assert "min_jaccard 0.6" in second.facts["iterations"][1]["note"]
    assert second.content_hash == first.content_hash
    # The facts of the rows are those of the rows; the comparison is this iteration's.
    assert second.facts["lowest_rating_kept"] == 4.2
    assert second.facts["overlap"]["gained"] == 1
    assert is_carried(home.workspace, 2)
    # The third needs no ratings of its own.
    third = home.select(3)
    assert third.content_hash == first.content_hash
    assert third.facts["carried_from"] == "curated_set_2"
    assert [row["note"][:7] for row in third.facts["iterations"]] == ["", "stopped", "curated"]
    assert [stopped_at(home.workspace, t) for t in (0, 1, 2, 3)] == [None, None, 2, 2]
    assert home.select(3).version == third.version


def test_precision_that_fell_keeps_the_set_before(home: CuratedHome) -> None:
    with_stop(home, "{min_precision_gain: 0.0}")
    home.rate(1, FIRST, GOOD_RATER)
    home.select(1)
    home.rate(2, SECOND, [1.0, 1.0, 1.0, 4.5, 5.0, 4.0, 2.0, 2.0])
    facts = home.select(2).facts
    assert home.kept(2) == home.kept(1)
    assert (
        "precision of m1 on labelled pairs is 0.333, that of m0 was 1.000"
        in (facts["stopped"]["reason"])
    )
    # Of the rater that chose the rows; what the worse one measured is told all the same.
    assert (facts["rows_of"], facts["quality"]["rater"]) == (1, "m0")
    assert facts["iterations"][1]["precision"] == pytest.approx(1 / 3)
    third = home.select(3).facts
    assert (third["rows_of"], third["iterations"][2]["rater"]) == (1, "m0")
    assert third["iterations"][2]["precision"] == 1.0
    assert third["iterations"][2]["jaccard"] is None


def test_gain_too_small_to_go_on_for_is_still_taken(home: CuratedHome) -> None:
    with_stop(home, "{min_precision_gain: 0.5}")
    home.rate(1, FIRST, [5.0, 4.5, 4.4, 1.0, 5.0, 1.0, 1.0, 1.0])
    home.select(1)
    home.rate(2, SECOND, GOOD_RATER)
    facts = home.select(2).facts
    assert facts["stopped"]["keep_last"] is False
    assert facts["carried_from"] is None
    assert home.kept(2) == ["s0", "s1", "s2", "s3", "s5"]
    assert not is_carried(home.workspace, 2)
    assert home.select(3).facts["carried_from"] == "curated_set_2"
    assert home.kept(3) == home.kept(2)


def test_changed_ratings_have_the_end_decided_anew(home: CuratedHome) -> None:
    with_stop(home, "{min_jaccard: 0.6}")
    home.rate(1, FIRST, GOOD_RATER)
    home.select(1)
    home.rate(2, SECOND, GOOD_RATER)
    home.select(2)
    home.select(3)
    home.rate(2, FIRST[::-1], GOOD_RATER)
    facts = home.select(2).facts
    assert facts["stopped"] is None
    assert home.kept(2) == ["s9", "s8", "s7", "s6", "s5"]
    # The third set of before still says that iterating ended; that no longer counts.
    assert stopped_at(home.workspace, 3) is None
    home.rate(3, FIRST, GOOD_RATER)
    assert home.select(3).facts["carried_from"] is None
    assert home.kept(3) == home.kept(1)


def test_rule_taken_from_the_recipe_no_longer_ends_anything(home: CuratedHome) -> None:
    with_stop(home, "{min_jaccard: 0.6}")
    home.rate(1, FIRST, GOOD_RATER)
    home.select(1)
    home.rate(2, SECOND, GOOD_RATER)
    home.select(2)
    home.open(curation__selection=BEST_FIVE)
    assert stopped_at(home.workspace, 2) is None
    assert home.select(2).facts["stopped"] is None
    assert home.kept(2) != home.kept(1)


@pytest.mark.parametrize("missing", ["now", "before"])
def test_unknown_precision_ends_nothing(missing: str) -> None:
    from humpback_pipeline.recipe_curation import StopRecipe

    def quality(precision: float | None) -> dict[str, Any]:
        return {"precision": precision}

    rule = StopRecipe(min_precision_gain=0.1)
    now = quality(None if missing == "now" else 0.1)
    before = quality(None if missing == "before" else 0.9)
    assert decide_stop(rule, 2, 0.5, now, before) is None
    assert decide_stop(rule, 2, 0.5, quality(0.1), quality(0.9)) is not None
    assert decide_stop(None, 2, 1.0, quality(0.1), quality(0.9)) is None
