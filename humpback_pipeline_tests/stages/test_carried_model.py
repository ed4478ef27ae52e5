"""After iterating has ended the last model is carried on: the same files, nothing trained."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
from projects import make_project

from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.carrying import carry_curated_set
from humpback_pipeline.stages.checks import check_loads_and_generates
from humpback_pipeline.stages.iteration import CURATED_SCHEMA, train_forward_model
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.storage import hash_model


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """M_1 trained on a curated set, which the second iteration carries on."""
    folder = tmp_path_factory.mktemp("carried") / "project"
    workspace = make_project(
        folder, shards={}, recipe={"training.steps": 2, "curation.iterations": 3}, n_pairs=8
    ).workspace()
    write_seed_pairs(workspace)
    rows = {
        "pair_id": ["web-a"],
        "segment_id": ["a"],
        "instruction": ["Explain tides."],
        "output": ["The moon pulls at the sea."],
        "rating": [4.0],
        "url": ["https://tides.example/"],
    }
    facts = {"rows_of": 1, "iterations": [{"iteration": 1, "kept": 1}]}
    workspace.datasets.write(
        "curated_set_1", pl.DataFrame(rows), schema=CURATED_SCHEMA, facts=facts
    )
    train_forward_model(workspace, 1)
    carry_curated_set(workspace, 2)
    return workspace


@pytest.fixture
def workspace(trained: Workspace) -> Workspace:
    shutil.rmtree(trained.home / "models" / "m2", ignore_errors=True)
    return trained


def test_carried_model_is_the_same_files_and_says_where_it_is_from(workspace: Workspace) -> None:
    first = workspace.models.manifest("m1")
    carried = train_forward_model(workspace, 2)
    assert carried.content_hash == first.content_hash
    assert hash_model(workspace.models.path("m2")) == first.content_hash
    assert carried.facts["carried_from"] == "m1"
    assert carried.facts["loss_after"] == first.facts["loss_after"]
    assert carried.facts["training_s"] == 0
    assert carried.inputs.keys() == {"m1", "curated_set_2"}
    (weights,) = workspace.models.path("m2").glob("*.safetensors")
    (original,) = workspace.models.path("m1").glob("*.safetensors")
    assert weights.samefile(original)
    assert check_loads_and_generates(workspace, carried).passed


def test_carried_model_outlives_the_one_it_is_from(workspace: Workspace) -> None:
    carried = train_forward_model(workspace, 2)
    original = workspace.models.path("m1")
    aside = original.with_name("aside")
    shutil.copytree(original, aside)
    shutil.rmtree(original)
    try:
        whole = {path.name for path in workspace.models.path("m2").iterdir()}
        assert set(carried.files) <= whole
        assert all((workspace.models.path("m2") / name).stat().st_size for name in carried.files)
    finally:
        aside.rename(original)


def test_where_links_cannot_be_made_files_are_copied(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    carried = train_forward_model(workspace, 2)
    assert carried.content_hash == workspace.models.manifest("m1").content_hash
    (weights,) = workspace.models.path("m2").glob("*.safetensors")
    assert weights.stat().st_nlink == 1


def test_carried_model_is_made_again_only_for_another_model(workspace: Workspace) -> None:
    first = train_forward_model(workspace, 2)
    assert train_forward_model(workspace, 2).version == first.version
    again = train_forward_model(replace(workspace, rebuild=True), 2)
    assert again.version != first.version
    assert again.fingerprint == first.fingerprint


def test_set_that_is_no_longer_carried_has_its_model_trained(workspace: Workspace) -> None:
    train_forward_model(workspace, 2)
    datasets = workspace.datasets
    carried = datasets.manifest("curated_set_2").version
    frame = datasets.read("curated_set_1").with_columns(output=pl.lit("The wind does, too."))
    datasets.write("curated_set_2", frame, schema=CURATED_SCHEMA, facts={"carried_from": None})
    try:
        model = train_forward_model(workspace, 2)
    finally:
        datasets.versions("curated_set_2").publish(carried)
    assert "carried_from" not in model.facts
    assert model.facts["mixture"]["curated_set_2"] == 1
    assert model.facts["training_s"] > 0
    assert Path(workspace.models.path("m2")) != workspace.models.path("m1")
