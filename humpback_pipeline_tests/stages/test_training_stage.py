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
from humpback_pipeline.stages.seed import write_seed_pairs
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

    train_forward_model(workspace, 0, look)

    assert {path.parent.name for path in scratch} > {alive.name}
    assert not left.exists()
    assert [path for path in models.glob(".tmp-*") if path != alive] == []
    assert not list(workspace.models.path("m0").glob("training-*"))


def test_seeds_and_curated_pairs_are_mixed_as_the_recipe_says_and_reported(tmp_path: Path) -> None:
    workspace = make_project(
        tmp_path / "project",
        shards={},
        recipe={
            "training.steps": None,
            "training.batch_size": 4,
            "training.mixture.seed_share": 0.75,
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
    assert seed["uses"] == max(6, seed["examples"])
    # Repeats buy no steps: the paper's table goes by different examples.
    assert facts["steps"] == budget_for(seed["examples"] + 2).steps
