"""Checks say what is wrong, with numbers, and pass what is right."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace, checks
from humpback_pipeline.stages.checks import CheckOutcome, over_shards
from humpback_pipeline.stages.checks.ratings import population_stability_index
from humpback_pipeline.stages.iteration import CURATED_SCHEMA
from humpback_pipeline.stages.iteration_names import scores_name
from humpback_pipeline.stages.rating import SCORES_SCHEMA
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.storage import Manifest

PAIRS_SCHEMA = {"segment_id": pl.String, "rating": pl.Float64}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("HUMPBACK_HOME", str(tmp_path / "home"))
    return Workspace(load_recipe("demo"))


def manifest_of(rows: int = 0, **facts: Any) -> Manifest:
    return Manifest(
        name="x", kind="dataset", version="v", content_hash="h", rows=rows, facts=dict(facts)
    )


def write(workspace: Workspace, ids: list[str | None], name: str = "pairs") -> Manifest:
    frame = pl.DataFrame(
        {"segment_id": ids, "rating": [1.0] * len(ids)}, schema=PAIRS_SCHEMA, strict=False
    )
    return workspace.datasets.write(name, frame, schema=PAIRS_SCHEMA)


def scores(workspace: Workspace, ratings: np.ndarray, iteration: int = 1) -> Manifest:
    n = ratings.size
    columns = {
        name: [0.2] * n if dtype == pl.Float64 else [str(i) for i in range(n)]
        for name, dtype in SCORES_SCHEMA.items()
    }
    frame = pl.DataFrame({**columns, "rating": ratings}, schema=SCORES_SCHEMA)
    name = scores_name(iteration)
    return workspace.datasets.write(name, frame, schema=SCORES_SCHEMA, partition="a")


def test_sound_dataset_passes_and_says_its_size(workspace: Workspace) -> None:
    manifest = write(workspace, ["a", "b"])
    outcome = checks.check_schema_and_ids(
        workspace.datasets, manifest, PAIRS_SCHEMA, ["segment_id"]
    )
    assert outcome.passed
    assert outcome.facts == {"rows": 2, "null_ids": 0, "duplicate_ids": 0}


@pytest.mark.parametrize(
    ("ids", "complaint"), [(["a", "a"], "1 rows repeat"), (["a", None], "1 rows without")]
)
def test_repeated_and_missing_ids_are_found(
    workspace: Workspace, ids: list[str | None], complaint: str
) -> None:
    manifest = write(workspace, ids)
    outcome = checks.check_schema_and_ids(
        workspace.datasets, manifest, PAIRS_SCHEMA, ["segment_id"]
    )
    assert not outcome.passed
    assert complaint in outcome.message
    assert "rebuild" in outcome.message


def test_ids_of_two_columns_identify_a_row_together(workspace: Workspace) -> None:
    manifest = write(workspace, ["a", "a"])
    pairs = workspace.datasets.versions("pairs").current() / "part-00000.parquet"
    pl.DataFrame({"segment_id": ["a", "a"], "rating": [1.0, 2.0]}).write_parquet(pairs)
    ids = ["segment_id", "rating"]
    assert checks.check_schema_and_ids(workspace.datasets, manifest, None, ids).passed


def test_files_that_differ_from_their_manifest_are_found(workspace: Workspace) -> None:
    manifest = write(workspace, ["a", "b"])
    file = workspace.datasets.versions("pairs").current() / "part-00000.parquet"
    pl.DataFrame({"segment_id": ["a"], "rating": [1]}).write_parquet(file)
    outcome = checks.check_schema_and_ids(workspace.datasets, manifest, None, ["segment_id"])
    assert not outcome.passed
    assert "differ from the declared ones in rating" in outcome.message
    assert "1 rows on disk, 2 in the manifest" in outcome.message


def test_empty_dataset_has_sound_ids(workspace: Workspace) -> None:
    manifest = write(workspace, [])
    outcome = checks.check_schema_and_ids(
        workspace.datasets, manifest, PAIRS_SCHEMA, ["segment_id"]
    )
    assert outcome.passed


@pytest.mark.parametrize(("n_after", "passed"), [(6, True), (14, True), (4, False), (16, False)])
def test_row_change_is_relative_to_the_version_before(
    workspace: Workspace, n_after: int, passed: bool
) -> None:
    versions = workspace.datasets.versions("pairs")
    first = write(workspace, [str(i) for i in range(10)])
    assert checks.check_row_change(versions, first, 0.4).passed
    second = write(workspace, [str(i) for i in range(n_after)])
    outcome = checks.check_row_change(versions, second, 0.4)
    assert outcome.passed == passed
    assert (outcome.facts["rows"], outcome.facts["rows_before"]) == (n_after, 10)


def test_version_put_back_is_compared_with_the_one_it_replaces(workspace: Workspace) -> None:
    first = write(workspace, ["a"])
    write(workspace, [str(i) for i in range(10)])
    versions = workspace.datasets.versions("pairs")
    versions.publish(first.version)
    outcome = checks.check_row_change(versions, first, 0.5)
    assert outcome.facts["rows_before"] == 10
    assert not outcome.passed


def test_verdict_over_shards_fails_with_the_shard_named_and_all_in_the_table() -> None:
    outcomes = {
        "a": CheckOutcome("yield", True, "fine", {"pages": 3, "nested": {"x": 1}}),
        "b": CheckOutcome("yield", False, "too few", {"pages": 0}),
    }
    whole = over_shards(outcomes)
    assert not whole.passed
    assert whole.message == "b: too few"
    assert whole.facts["shards"] == [
        {"shard": "a", "passed": True, "pages": 3},
        {"shard": "b", "passed": False, "pages": 0},
    ]
    with pytest.raises(ValueError, match="one check"):
        over_shards({"a": outcomes["a"], "b": CheckOutcome("other", True, "")})


def test_seed_rows_need_pairs_to_train_on_and_say_when_none_is_held_out(
    workspace: Workspace,
) -> None:
    seed = workspace.recipe.seed
    few = checks.check_seed_rows(manifest_of(splits={"train": 5}), seed)
    assert few.passed
    assert "no held-out loss" in few.message
    enough = checks.check_seed_rows(manifest_of(splits={"train": 2, "dev": 1}), seed)
    assert enough.passed
    assert "held-out loss" not in enough.message
    assert not checks.check_seed_rows(manifest_of(splits={"train": 1, "dev": 1}), seed).passed


def test_dropped_share_counts_every_reason() -> None:
    outcome = checks.check_dropped_share(4, {"empty": 3, "cut": 3}, 0.5)
    assert not outcome.passed
    assert "6 of 10 pairs dropped (60.0%): cut 3, empty 3." in outcome.message
    assert checks.check_dropped_share(4, {"cut": 4}, 0.5).passed
    assert checks.check_dropped_share(0, {}, 0.5).passed


def test_shards_without_a_sampled_segment_are_not_an_empty_augmented_set() -> None:
    nothing = manifest_of(0, dropped={})
    all_dropped = manifest_of(0, dropped={"cut_instruction": 7})
    assert checks.check_augmented_not_empty({"a": nothing}).passed
    assert not checks.check_augmented_not_empty({"a": nothing, "b": all_dropped}).passed
    assert checks.check_augmented_not_empty(
        {"a": manifest_of(1, dropped={}), "b": all_dropped}
    ).passed


def test_yield_of_a_shard_without_pages_fails() -> None:
    assert not checks.check_yield(manifest_of(0, n_documents=0), 0.02).passed
    assert checks.check_yield(manifest_of(1, n_documents=50), 0.02).passed
    assert not checks.check_yield(manifest_of(1, n_documents=51), 0.02).passed


def test_contaminated_pair_is_found_on_disk_whatever_the_selection_said(
    workspace: Workspace,
) -> None:
    from humpback_pipeline.seeds import read_evaluation_prompts

    write_seed_pairs(workspace)
    prompts = read_evaluation_prompts(workspace.recipe.evaluation.prompts)
    dev = workspace.datasets.read("seed_pairs").filter(pl.col("split") == "dev")

    def curated(output: str) -> CheckOutcome:
        row = ("p1", "s1", "How does bread rise?", output, 4.9, "https://example.org")
        frame = pl.DataFrame([row], schema=CURATED_SCHEMA, orient="row")
        manifest = workspace.datasets.write("curated_set_1", frame, schema=CURATED_SCHEMA)
        return checks.check_no_contamination(workspace, manifest)

    clean = "Yeast eats sugar and gives off gas, which the dough's net of gluten holds."
    assert curated(clean).passed
    for leaked in (max((p.output or "" for p in prompts), key=len), dev["output"][0]):
        outcome = curated(f"{clean} {leaked}")
        assert not outcome.passed
        assert outcome.facts["pair_ids"] == "p1"


def test_clean_set_is_searched_again_only_for_other_texts(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from humpback_pipeline import curation

    write_seed_pairs(workspace)
    output = "Yeast eats sugar and gives off gas, which the dough's net of gluten holds."
    row = ("p1", "s1", "How does bread rise?", output, 4.9, "https://example.org")
    frame = pl.DataFrame([row], schema=CURATED_SCHEMA, orient="row")
    manifest = workspace.datasets.write("curated_set_1", frame, schema=CURATED_SCHEMA)
    first = checks.check_no_contamination(workspace, manifest)
    with monkeypatch.context() as patch:
        patch.setattr(curation, "ContaminationIndex", None)  # must not be needed
        assert checks.check_no_contamination(workspace, manifest) == first

    prompts = tmp_path / "prompts.jsonl"
    prompts.write_text(f'{{"instruction": "Why does dough rise?", "output": "{output}"}}\n')
    evaluation = workspace.recipe.evaluation.model_copy(update={"prompts": prompts})
    other = Workspace(workspace.recipe.model_copy(update={"evaluation": evaluation}))
    assert not checks.check_no_contamination(other, manifest).passed


@pytest.mark.parametrize(
    ("ratings", "n_pairs", "passed"),
    [
        ([1.0, 5.0, 3.3], 3, True),
        ([], 0, True),
        ([1.0, 5.1], 2, False),
        ([1.0, math.nan], 2, False),
        ([1.0, None], 2, False),
        ([1.0], 2, False),
    ],
)
def test_every_pair_needs_a_rating_on_the_scale(
    ratings: list[float | None], n_pairs: int, passed: bool
) -> None:
    series = pl.Series("rating", ratings, dtype=pl.Float64)
    assert checks.check_ratings_in_range(series, n_pairs).passed == passed


def test_ratings_that_are_all_alike_are_found() -> None:
    alike = pl.Series([3.001, 2.999] * 50)
    apart = pl.Series([float(n) for n in np.linspace(2.9, 3.1, 100)])
    assert not checks.check_ratings_discriminate(alike).passed
    assert checks.check_ratings_discriminate(apart).passed
    assert checks.check_ratings_discriminate(pl.Series([3.0, 3.0])).passed  # too few to tell


def rated_by_digits(n: int, *, without_digit: int, mass: float | None = 0.9) -> Manifest:
    facts = {"mean_mass": mass, "n_without_digit": without_digit}
    return Manifest(name="s", kind="dataset", version="1", content_hash="0", rows=n, facts=facts)


def test_rater_that_gives_no_digit_is_found() -> None:
    assert checks.check_rubric_followed([rated_by_digits(100, without_digit=5)]).passed
    silent = [rated_by_digits(100, without_digit=2), rated_by_digits(100, without_digit=90)]
    outcome = checks.check_rubric_followed(silent)
    assert not outcome.passed
    assert outcome.message.startswith("92 of 200 pairs")
    unasked = rated_by_digits(100, without_digit=0, mass=None)
    assert checks.check_rubric_followed([unasked]).passed


def test_index_without_a_shift_stays_below_its_noise_nineteen_times_in_twenty() -> None:
    rng = np.random.default_rng(0)
    above = 0
    for _ in range(400):
        index, noise = population_stability_index(rng.normal(3, 1, 200), rng.normal(3, 1, 150))
        above += index > noise
    assert 2 <= above <= 40  # 20 expected, standard deviation 4.4


@given(
    st.lists(st.floats(1, 5), min_size=10, max_size=60),
    st.lists(st.floats(1, 5), min_size=10, max_size=60),
)
def test_index_is_finite_and_zero_for_the_same_ratings(
    before: list[float], now: list[float]
) -> None:
    index, noise = population_stability_index(np.array(before), np.array(now))
    assert math.isfinite(index)
    assert index >= 0
    assert noise > 0
    same, _ = population_stability_index(np.array(before), np.array(before))
    assert same == pytest.approx(0)


def test_index_sees_all_ratings_move_from_one_value_to_another() -> None:
    for new in (2.0, 4.0):
        index, noise = population_stability_index(np.full(50, 3.0), np.full(50, new))
        assert index > max(1.0, noise)


def test_shift_is_measured_against_the_version_before_else_the_iteration_before(
    workspace: Workspace,
) -> None:
    rng = np.random.default_rng(1)
    low, high = rng.normal(2, 0.3, 300), rng.normal(4, 0.3, 300)
    first = scores(workspace, low)
    alone = checks.check_rating_shift(workspace, 1, [first], 0.25)
    assert alone.passed
    assert "no earlier ratings" in alone.message

    next_iteration = scores(workspace, high, iteration=2)
    outcome = checks.check_rating_shift(workspace, 2, [next_iteration], 0.25)
    assert not outcome.passed
    assert outcome.facts["compared_with"] == "curation_scores_1"

    again = scores(workspace, rng.normal(4, 0.3, 300), iteration=2)
    outcome = checks.check_rating_shift(workspace, 2, [again], 0.25)
    assert outcome.passed
    assert outcome.facts["compared_with"] == "the version before"


def test_few_ratings_do_not_warn_by_chance(workspace: Workspace) -> None:
    rng = np.random.default_rng(2)
    scores(workspace, rng.normal(3, 0.5, 12))
    outcome = checks.check_rating_shift(
        workspace, 1, [scores(workspace, rng.normal(3, 0.5, 12))], 0.01
    )
    assert outcome.passed
    assert outcome.facts["bound"] > 1


def test_losses_that_are_no_numbers_are_found_also_as_read_back_from_disk() -> None:
    curve = [(0, 2.0, 1e-5), (1, 1.9, 1e-5)]
    good = manifest_of(train_curve=curve, held_out_curve=[(0, 2.1), (2, 2.0)])
    assert checks.check_loss_is_sane(good).passed
    for bad in (math.nan, math.inf):
        manifest = manifest_of(train_curve=curve, held_out_curve=[(0, 2.1), (2, bad)])
        assert not checks.check_loss_is_sane(manifest).passed
        read_back = Manifest.model_validate_json(manifest.model_dump_json())
        assert not checks.check_loss_is_sane(read_back).passed
    assert not checks.check_loss_is_sane(manifest_of(train_curve=[], held_out_curve=[])).passed


@pytest.mark.parametrize(
    ("before", "after", "passed"), [(2.0, 1.9, True), (2.0, 2.0, False), (None, None, True)]
)
def test_loss_has_to_fall_where_it_is_measured(
    before: float | None, after: float | None, passed: bool
) -> None:
    outcome = checks.check_loss_fell(manifest_of(loss_before=before, loss_after=after))
    assert outcome.passed == passed


def responses(outputs: list[str], reasons: list[str] | None = None) -> pl.DataFrame:
    ids = [f"p{n}" for n in range(len(outputs))]
    reasons = reasons or ["stop"] * len(outputs)
    return pl.DataFrame({"prompt_id": ids, "output": outputs, "finish_reason": reasons})


def test_answers_without_words_are_empty() -> None:
    assert not checks.check_responses_not_empty(responses(["", " \n", "…"])).passed
    assert checks.check_responses_not_empty(responses(["", "Yes."])).passed
    assert not checks.check_responses_cut(responses(["a"] * 3, ["length", "length", "stop"])).passed
    assert checks.check_responses_cut(responses(["a"] * 2, ["length", "stop"])).passed


def test_prompt_without_a_preference_is_found() -> None:
    answers = {"m0": responses(["a", "b"]), "m1": responses(["a", "b"])}
    rows = {"model": ["m0", "m0", "m1", "m1"], "prompt_id": ["p0", "p1", "p0", "p1"]}
    whole = pl.DataFrame({**rows, "preference": [1.0, 1.5, 2.0, 1.2]})
    assert checks.check_every_prompt_judged(whole, answers).passed
    for hole in (whole.head(3), whole.with_columns(preference=pl.lit(0.4))):
        outcome = checks.check_every_prompt_judged(hole, answers)
        assert not outcome.passed
    twice = pl.concat([whole, whole.head(1)])
    assert not checks.check_every_prompt_judged(twice, answers).passed


def test_position_bias_counts_in_both_directions() -> None:
    for bias in (0.3, -0.3):
        assert not checks.check_position_bias(manifest_of(position_bias=bias), 0.2).passed
        assert checks.check_position_bias(manifest_of(position_bias=bias), 0.4).passed
