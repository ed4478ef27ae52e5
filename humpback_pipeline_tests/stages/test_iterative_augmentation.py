"""The backward model trained anew on curated pairs: names, lineage, staleness, what it gains."""

from __future__ import annotations

import polars as pl
import pytest
from projects import SMALL_SHARDS, Project, make_project

from humpback_pipeline.lineage import Catalogue
from humpback_pipeline.lineage.stale import StaleReader
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.recipe_curation import StopRecipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.augmentation import (
    AUGMENTED_SCHEMA,
    augmented_set_name,
    augmented_set_names,
    backward_model_name,
    backward_model_names,
    is_backward_model,
    train_backward_model,
    write_augmented_set,
)
from humpback_pipeline.stages.backward_model import (
    InstructionLikelihood,
    instruction_likelihoods,
    retrain_backward_model,
)
from humpback_pipeline.stages.checks import (
    check_augmented_not_empty,
    check_instruction_likelihood_rose,
    check_instructions_vary,
    check_loads_and_generates,
)
from humpback_pipeline.stages.corpus import write_segments
from humpback_pipeline.stages.corpus_selection import write_selection
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.storage import Manifest

SHARD = "garden"
CURATED_SCHEMA = {
    "pair_id": pl.String,
    "segment_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "rating": pl.Float64,
    "url": pl.String,
}


def write_curated(workspace: Workspace, n: int) -> Manifest:
    """The first `n` augmented pairs, as if they had been rated highest."""
    pairs = workspace.datasets.read("augmented_set", SHARD).head(n)
    kept = pairs.select(
        pl.format("web-{}", pl.col("segment_id")).alias("pair_id"),
        "segment_id",
        "instruction",
        "output",
        pl.lit(4.5).alias("rating"),
        pl.lit("https://example.org/").alias("url"),
    )
    origin = workspace.origin(
        "curated_set_1", inputs=[workspace.datasets.manifest("augmented_set", SHARD)]
    )
    return workspace.write_dataset(origin, kept, CURATED_SCHEMA)


def write_pairs(workspace: Workspace, iteration: int) -> Manifest:
    ((shard, manifest),) = write_augmented_set(workspace, [SHARD], iteration=iteration)
    assert shard == SHARD
    return manifest


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(
        tmp_path_factory.mktemp("retrained") / "project",
        shards={"garden.warc.gz": SMALL_SHARDS["garden.warc.gz"]},
        recipe={
            "curation.iterations": 2,
            "augmentation.candidates": 3,
            "augmentation.retrain_backward_model": True,
            "corpus.sample_segments": 4,
        },
        n_pairs=24,
    )


@pytest.fixture(scope="module")
def workspace(project: Project) -> Workspace:
    """Both backward models and both augmented sets, with the first curated set between them."""
    workspace = project.workspace()
    write_seed_pairs(workspace)
    write_segments(workspace, SHARD)
    write_selection(workspace, [SHARD])
    train_backward_model(workspace)
    write_pairs(workspace, 1)
    write_curated(workspace, 2)
    retrain_backward_model(workspace, 2)
    write_pairs(workspace, 2)
    return workspace


def recipe(workspace: Workspace, **augmentation: object) -> Recipe:
    changed = workspace.recipe.augmentation.model_copy(update=augmentation)
    return workspace.recipe.model_copy(update={"augmentation": changed})


def test_names_are_of_the_iteration_only_where_the_model_is_retrained(
    workspace: Workspace,
) -> None:
    retrained, once = workspace.recipe, recipe(workspace, retrain_backward_model=False)
    assert backward_model_names(retrained) == ["backward_model", "backward_model_2"]
    assert augmented_set_names(retrained) == ["augmented_set", "augmented_set_2"]
    assert augmented_set_name(retrained, 1) == augmented_set_name(once, 2) == "augmented_set"
    assert backward_model_name(once, 5) == "backward_model"
    assert augmented_set_names(once) == ["augmented_set"]
    assert is_backward_model("backward_model_2")
    assert not is_backward_model("m2")
    with pytest.raises(ValueError, match="begin with 1"):
        augmented_set_name(retrained, 0)


def test_retrained_model_learns_from_seeds_and_the_curated_set_before(
    workspace: Workspace,
) -> None:
    manifest = workspace.models.manifest("backward_model_2")
    assert set(manifest.inputs) == {"seed_pairs", "curated_set_1"}
    mixture = manifest.facts["mixture"]
    assert mixture["curated_set_1"] == workspace.datasets.manifest("curated_set_1").rows
    assert mixture["seed_pairs"] > 0
    assert "backward" in manifest.provenance.prompts
    assert check_loads_and_generates(workspace, manifest).passed
    pairs = workspace.datasets.manifest("augmented_set_2", SHARD)
    assert pairs.inputs["backward_model_2"] == manifest.content_hash
    assert "backward_model" not in pairs.inputs
    assert pairs.provenance.datasets["curated_set_1"] == manifest.inputs["curated_set_1"]


def test_each_model_writes_its_own_pairs_for_the_same_segments(workspace: Workspace) -> None:
    selected = workspace.datasets.read("corpus_selection").filter("kept").height
    sets = []
    for name in ("augmented_set", "augmented_set_2"):
        frame = workspace.datasets.read(name, SHARD)
        manifest = workspace.datasets.manifest(name, SHARD)
        assert frame.schema == pl.Schema(AUGMENTED_SCHEMA)
        assert frame.height + sum(manifest.facts["dropped"].values()) == selected
        assert frame["n_candidates"].is_between(1, 3).all()
        dropped = workspace.datasets.read(
            name.replace("augmented_set", "dropped_instructions"), SHARD
        )
        assert dropped.height == sum(manifest.facts["candidates_dropped"].values())
        assert dropped.height + frame["n_candidates"].sum() == 3 * selected
        sets.append(frame["instruction"].to_list())
    assert sets[0] != sets[1]


def test_gain_is_what_held_out_instructions_are_likelier(workspace: Workspace) -> None:
    rows = instruction_likelihoods(workspace, "backward_model_2")
    assert [row.model for row in rows] == ["base", "backward_model", "backward_model_2"]
    first = workspace.models.manifest("backward_model").facts
    last = workspace.models.manifest("backward_model_2").facts
    assert rows[0].logprob == -first["loss_before"]
    assert rows[1].gain == pytest.approx(first["loss_before"] - first["loss_after"])
    assert rows[2].gain == pytest.approx(first["loss_after"] - last["loss_after"])
    assert last["held_out_instruction_logprob"] == rows[2].logprob
    # Both begin from the base, whatever the one before has learnt.
    assert last["loss_before"] == first["loss_before"]


def test_model_that_finds_held_out_instructions_less_likely_is_reported() -> None:
    base = InstructionLikelihood("base", "", -3.0, None, 4)
    first = InstructionLikelihood("backward_model", "", -2.0, 1.0, 4)
    assert check_instruction_likelihood_rose([base, first]).passed
    worse = InstructionLikelihood("backward_model_2", "", -2.25, -0.25, 4)
    outcome = check_instruction_likelihood_rose([base, first, worse])
    assert not outcome.passed
    assert "-2.250 nats a token under backward_model_2" in outcome.message
    unknown = InstructionLikelihood("backward_model_2", "", None, None, 0)
    assert check_instruction_likelihood_rose([base, first, unknown]).passed


def test_unchanged_work_is_not_done_again_and_old_drops_come_back_with_their_set(
    workspace: Workspace,
) -> None:
    first = workspace.datasets.manifest("augmented_set", SHARD)
    dropped = workspace.datasets.manifest("dropped_instructions", SHARD)
    assert (
        retrain_backward_model(workspace, 2).version
        == workspace.models.manifest("backward_model_2").version
    )
    strict = recipe(workspace, candidates=1)
    other = write_pairs(Workspace(strict), 1)
    assert other.version != first.version
    assert workspace.datasets.manifest("dropped_instructions", SHARD).version != dropped.version
    assert write_pairs(workspace, 1).version == first.version
    assert workspace.datasets.manifest("dropped_instructions", SHARD).version == dropped.version


def test_another_curated_set_makes_what_was_written_after_it_stale(workspace: Workspace) -> None:
    def stale() -> set[str]:
        found = StaleReader(Catalogue(workspace.home)).all_stale()
        return {staleness.artefact.key for staleness in found}

    dependants = {"backward_model_2", f"augmented_set_2/{SHARD}"}
    assert not dependants & stale()
    before = workspace.models.manifest("backward_model_2")
    write_curated(workspace, 1)
    assert dependants <= stale()
    assert "backward_model" not in stale()
    assert retrain_backward_model(workspace, 2).version != before.version
    write_curated(workspace, 2)
    assert retrain_backward_model(workspace, 2).version == before.version
    assert not dependants & stale()


def test_nothing_is_trained_or_written_once_iterating_has_ended(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    curation = workspace.recipe.curation.model_copy(
        update={"iterations": 3, "stop": StopRecipe(min_jaccard=0.9)}
    )
    ended = Workspace(workspace.recipe.model_copy(update={"curation": curation}))
    stopped = {"stopped": {"iteration": 2, "reason": "enough", "keep_last": True}}
    ended.write_dataset(
        ended.origin("curated_set_2", inputs=[ended.datasets.manifest("curated_set_1")]),
        ended.datasets.read("curated_set_1"),
        CURATED_SCHEMA,
        facts=stopped,
    )
    started: list[object] = []
    monkeypatch.setattr(Workspace, "open_generator", lambda self, *given: started.append(given))

    model = retrain_backward_model(ended, 3)
    pairs = write_pairs(ended, 3)

    last = ended.models.manifest("backward_model_2")
    assert (model.name, model.content_hash) == ("backward_model_3", last.content_hash)
    assert model.facts["carried_from"] == pairs.facts["carried_from"].replace(
        "augmented_set", "backward_model"
    )
    assert ended.datasets.read("augmented_set_3", SHARD).equals(
        ended.datasets.read("augmented_set_2", SHARD)
    )
    assert ended.datasets.read("dropped_instructions_3", SHARD).equals(
        ended.datasets.read("dropped_instructions_2", SHARD)
    )
    gains = instruction_likelihoods(ended, "backward_model_3")
    assert gains[-1].gain == 0.0
    assert check_instruction_likelihood_rose(gains, model.facts["carried_from"]).passed
    assert not check_instruction_likelihood_rose(gains).passed
    assert retrain_backward_model(ended, 3).version == model.version
    assert write_pairs(ended, 3).version == pairs.version
    assert started == []


def manifest(rows: int, **facts: object) -> Manifest:
    return Manifest(
        name="augmented_set", kind="dataset", version="1", content_hash="0", rows=rows, facts=facts
    )


def test_instructions_that_are_all_alike_are_reported() -> None:
    alike = {"instruction": "what is this?", "n": 7}
    outcome = check_instructions_vary(manifest(10, most_common=alike, n_distinct=4))
    assert not outcome.passed
    assert "what is this?" in outcome.message
    assert "70%" in outcome.message
    assert check_instructions_vary(manifest(20, most_common=alike, n_distinct=14)).passed
    assert check_instructions_vary(
        manifest(0, most_common={"instruction": "", "n": 0}, n_distinct=0)
    ).passed


def test_empty_augmented_set_names_the_reasons() -> None:
    outcome = check_augmented_not_empty(
        {"a": manifest(0, dropped={"refusal": 3}), "b": manifest(0, dropped={"refusal": 1})}
    )
    assert not outcome.passed
    assert "4 refusal" in outcome.message
