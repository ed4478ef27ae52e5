"""A training as a stage: what one that was killed has left goes, what another writes stays."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from projects import make_project

from humpback_pipeline.progress import Progress
from humpback_pipeline.stages.iteration import train_forward_model
from humpback_pipeline.stages.seed import write_seed_pairs


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
