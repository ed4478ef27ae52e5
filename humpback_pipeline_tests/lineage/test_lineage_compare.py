"""Two versions side by side, and why a current one is stale."""

from __future__ import annotations

import pytest
from small_home import SmallHome, segment_id

from humpback_pipeline.lineage import Catalogue, Comparison, StaleReader, compare
from humpback_pipeline.lineage.compare import Difference
from humpback_pipeline.lineage.text import comparison_lines, stale_lines
from humpback_pipeline.storage import hash_text


@pytest.fixture(autouse=True)
def keep_two(home: SmallHome) -> None:
    home.keep = 2


def compared(home: SmallHome, key: str, a: str = "previous", b: str = "current") -> Comparison:
    catalogue = Catalogue(home.home)
    return compare(catalogue, catalogue.resolve(key, a), catalogue.resolve(key, b))


def test_rows_gained_and_lost_are_counted_and_shown(home: SmallHome) -> None:
    home.curated(1, ("a", "b"), min_rating=3.6)
    (change,) = compared(home, "curated_set_1").rows
    assert (change.id_column, change.n_gained, change.n_lost, change.n_kept) == ("pair_id", 0, 2, 2)
    assert change.n_changed == 0
    assert set(change.lost) == {f"web-{segment_id(shard, 2)}" for shard in "ab"}
    assert all(text.startswith("What about") for text in change.lost.values())
    (back,) = compared(home, "curated_set_1", "current", "previous").rows
    assert (back.n_gained, back.n_lost) == (2, 0)


def test_rows_with_other_content_are_counted(home: SmallHome) -> None:
    home.scores(1, "a", shift=0.4)
    (change,) = compared(home, "curation_scores_1/a").rows
    assert (change.n_gained, change.n_lost, change.n_changed) == (0, 0, 4)
    figures = compared(home, "curation_scores_1/a").figures
    assert figures == (Difference("mean_rating", 2.85, 3.15),)


def test_rows_of_a_version_without_data_are_still_compared(home: SmallHome) -> None:
    first = Catalogue(home.home).resolve("curated_set_1").version
    for min_rating in (3.6, 2.0, 2.6):
        home.curated(1, ("a", "b"), min_rating=min_rating)
    comparison = compared(home, "curated_set_1", first)
    assert not comparison.a.is_whole
    (change,) = comparison.rows
    assert (change.n_gained, change.n_lost, change.n_kept, change.n_changed) == (2, 0, 4, None)


def test_models_are_compared_by_what_they_learned_from_and_how_good_they_are(
    home: SmallHome,
) -> None:
    home.recipe = {"training": {"steps": 16, "method": "full"}}
    home.seeds("s0", "s1", "s9")
    home.curated(1, ("a", "b"), min_rating=3.6)
    home.model("m1", ["seed_pairs", "curated_set_1"], loss=1.5)
    home.evaluation({"m0": 30.0, "m1": 45.0})
    comparison = compared(home, "m1")
    rows = {change.key: (change.n_gained, change.n_lost) for change in comparison.rows}
    assert rows == {"curated_set_1": (0, 2), "seed_pairs": (1, 1)}
    assert comparison.recipe == (
        Difference("training.method", None, "full"),
        Difference("training.steps", 8, 16),
    )
    figures = {d.name: (d.a, d.b) for d in comparison.figures}
    assert figures == {"loss_after": (2.25, 1.5), "win_rates.rate": (40.0, 45.0)}
    assert "seed files: seeds.jsonl" in {d.name for d in comparison.provenance}
    assert not any("warc" in d.name for d in comparison.provenance)
    lines = "\n".join(comparison_lines(comparison))
    assert "curated_set_1: +0 −2 rows" in lines
    assert "training.steps: 8 → 16" in lines


def test_missing_recipe_is_said_and_not_taken_as_equal(home: SmallHome) -> None:
    old = home.recipe_hash
    home.recipe = {"training": {"steps": 9}}
    home.model("m0", ["seed_pairs"], weights="other")
    (home.home / "recipes" / f"{old}.json").unlink()
    comparison = compared(home, "m0")
    assert comparison.recipe is None
    assert any(old in note and "not kept" in note for note in comparison.notes)


def test_same_content_is_named_and_unlike_things_refused(home: SmallHome) -> None:
    home.curated(1, ("a", "b"))
    assert compared(home, "curated_set_1").same_content
    catalogue = Catalogue(home.home)
    with pytest.raises(ValueError, match="compare like with like"):
        compare(catalogue, catalogue.resolve("m0"), catalogue.resolve("seed_pairs"))


def stale(home: SmallHome, **settings: object) -> dict[str, list[str]]:
    reader = StaleReader(Catalogue(home.home), **settings)  # type: ignore[arg-type]
    return {s.artefact.key: s.lines() for s in reader.all_stale()}


def test_nothing_is_stale_after_a_whole_run(home: SmallHome) -> None:
    assert stale(home) == {}


def test_input_made_again_with_equal_content_makes_nothing_stale(home: SmallHome) -> None:
    home.curated(1, ("a", "b"))
    home.seeds("s0", "s1", "s2")
    assert stale(home) == {}


def test_changed_seeds_make_everything_after_them_stale_root_cause_first(home: SmallHome) -> None:
    home.seeds("s0", "s1", "s9")
    found = stale(home)
    assert {"backward_model", "augmented_set/a", "m0", "m1", "m2", "win_rates"} < set(found)
    assert not {"seed_pairs", "clueweb_segments/a", "corpus_selection"} & set(found)
    for lines in found.values():
        assert lines[0].startswith("seed data seeds.jsonl changed (")
    assert "is itself stale" in found["m2_responses"][-1]
    old, new = (hash_text("|".join(["s0", "s1", last]))[:12] for last in ("s2", "s9"))
    assert f"{old} → {new}" in found["m0"][0]


def test_seeds_put_back_are_fresh_again(home: SmallHome) -> None:
    first = Catalogue(home.home).resolve("seed_pairs").version
    home.seeds("s0", "s1", "s9")
    assert stale(home)
    home.datasets.versions("seed_pairs").publish(first)
    assert stale(home) == {}


def test_republished_old_curated_set_makes_its_newer_model_stale(home: SmallHome) -> None:
    first = Catalogue(home.home).resolve("curated_set_1").version
    home.curated(1, ("a", "b"), min_rating=3.6)
    model = home.model("m1", ["seed_pairs", "curated_set_1"])
    assert "m1" not in stale(home)
    home.datasets.versions("curated_set_1").publish(first)
    (line,) = [text for text in stale(home)["m1"] if text.startswith("m1 was made from")]
    assert line.endswith(f"current is {first}")
    assert model.inputs["curated_set_1"] != Catalogue(home.home).resolve("curated_set_1")


def test_edited_file_new_shard_and_lost_input_are_causes(home: SmallHome) -> None:
    fresh = {"seeds.jsonl": hash_text("s0|s1|s2"), "a": hash_text("aas crawled")}
    assert stale(home, sources=fresh, shards={"a", "b"}) == {}
    edited = {**fresh, "a": "another file"}
    assert stale(home, sources=edited)["clueweb_segments/a"] == ["WARC file a was edited since"]
    home.segments("c")
    assert stale(home, shards={"a", "b"}) == {}
    assert stale(home, shards={"a", "b", "c"})["corpus_selection"] == [
        "corpus_selection was made before clueweb_segments/c was"
    ]
    (home.datasets.versions("curated_set_2").folder / "CURRENT").unlink()
    assert "curated_set_2 is gone: it has no current version" in stale(home)["m2"]


def test_reason_is_the_recipe_where_only_the_recipe_changed(home: SmallHome) -> None:
    home.recipe = {"training": {"steps": 99}}
    home.model("backward_model", ["seed_pairs"], weights="longer", prompt="backward")
    lines = stale(home)["augmented_set/b"]
    assert lines[0] == "backward_model was made with another recipe: training.steps"
    reader = StaleReader(Catalogue(home.home))
    printed = [line for s in reader.all_stale() for line in stale_lines(s)]
    assert "  because backward_model was made with another recipe: training.steps" in printed


def test_work_that_came_out_differently_is_called_that(home: SmallHome) -> None:
    home.scores(1, "a", shift=1.0)
    lines = stale(home)["curated_set_1"]
    assert lines[0] == "curation_scores_1/a was made anew and came out differently"
