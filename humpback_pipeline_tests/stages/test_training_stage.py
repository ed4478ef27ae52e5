"""A training as a stage: what one that was killed has left goes, what another writes stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import polars as pl
import pytest
from projects import make_project

from humpback_pipeline.progress import Progress
from humpback_pipeline.stages.carrying import CARRIED_FROM
from humpback_pipeline.stages.iteration import CURATED_SCHEMA, train_forward_model
from humpback_pipeline.stages.seed import SEED_PAIRS, write_seed_pairs
from humpback_pipeline.stages.training_examples import write_training_examples
from humpback_pipeline.training import budget_for


def test_training_keeps_its_scratch_with_the_model_and_clears_that_of_a_killed_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_project(
        tmp_path / "project", shards={}, recipe={"training.steps": 2}, n_pairs=8
    ).workspace()
    write_seed_pairs(workspace)
    models = workspace.models.versions("m0").folder
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left = models / f".tmp-version-{ended.pid}-0123abcd"
    alive = models / f".tmp-version-{os.getpid()}-0123abcd"
    for folder in (left, alive):
        (folder / "training-part").mkdir(parents=True)
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    scratch: set[Path] = set()

    def look(_: Progress) -> None:
        scratch.update(models.glob(f".tmp-*-{os.getpid()}-*/training-*"))
        assert not list((tmp_path / "tmp").glob("humpback-*"))

    made = train_forward_model(workspace, 0, look)
    # As a kill between the model's saving and this leaves them.
    left_checkpoint = workspace.home / "checkpoints" / "m0" / "0123" / "checkpoint-1"
    left_checkpoint.mkdir(parents=True)
    assert train_forward_model(workspace, 0).version == made.version
    assert not left_checkpoint.exists()

    assert {path.parent.name for path in scratch} > {alive.name}
    assert not left.exists()
    assert [path for path in models.glob(".tmp-*") if path != alive] == []
    assert not list(workspace.models.path("m0").glob("training-*"))


def test_pairs_left_out_of_those_held_out_are_counted(tmp_path: Path) -> None:
    recipe = {
        "training.over_length": "drop",
        "training.max_tokens": 150,
        "seed.dev_fraction": 0.5,
    }
    project = make_project(tmp_path / "project", shards={}, recipe=recipe, n_pairs=24)
    workspace = project.workspace()
    write_seed_pairs(workspace)
    splits = workspace.datasets.read(SEED_PAIRS)["split"].to_list()
    data = write_training_examples(workspace, "forward", tmp_path)
    assert data.held_out_dropped["too_long"] > 0
    assert len(data.held_out) + sum(data.held_out_dropped.values()) == splits.count("dev")
    assert data.mixture.n_distinct + sum(data.dropped.values()) == splits.count("train")


def test_seeds_and_curated_pairs_are_mixed_as_the_recipe_says_and_reported(tmp_path: Path) -> None:
    workspace = make_project(
        tmp_path / "project",
        shards={},
        recipe={
            "training.steps": None,
            "training.batch_size": 4,
            "training.mixture.seed_share": 0.9,
            "training.over_length": "drop",
            "training.max_tokens": 512,
        },
        n_pairs=8,
    ).workspace()
    write_seed_pairs(workspace)
    texts = ["The moon pulls at the sea.", "A word. " * 900, "Warm air rises."]
    rows = [
        {"pair_id": f"web-{n}", "segment_id": f"{n}", "instruction": "Explain.", "output": text}
        for n, text in enumerate(texts)
    ]
    frame = pl.DataFrame(rows).with_columns(rating=pl.lit(4.5), url=pl.lit("https://a.example/"))
    workspace.datasets.write(
        "curated_set_1", frame, schema=CURATED_SCHEMA, facts={CARRIED_FROM: None}
    )
    facts = train_forward_model(workspace, 1).facts
    seed, web = facts["mixture_uses"]["seed"], facts["mixture_uses"]["web"]
    assert facts["examples_dropped"]["too_long"] >= 1
    assert (web["examples"], web["uses"]) == (2, 2)
    assert seed["uses"] == 18 > seed["examples"]
    # Different examples, however often they are used.
    assert facts["n_examples"] == seed["examples"] + web["examples"]
    assert facts["n_uses"] == seed["uses"] + web["uses"] > facts["n_examples"]
    # Repeats buy no steps: the paper's table goes by different examples.
    assert facts["steps"] == budget_for(seed["examples"] + 2).steps
