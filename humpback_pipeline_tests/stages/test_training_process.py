"""Training in a process of its own: it ends with its stage, its crash stays its own."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing import Pipe
from pathlib import Path

import psutil
import pytest
from child_processes import children
from projects import Project, make_project

from humpback_pipeline.assets.retries import passing_reason
from humpback_pipeline.progress import Progress
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.stages import Workspace, training_process
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.seed import write_seed_pairs
from humpback_pipeline.stages.training import train_and_save
from humpback_pipeline.stages.training_process import TrainingProcessError, error_of
from humpback_pipeline.stages.training_worker import (
    EXAMPLES,
    HELD_OUT,
    WORK,
    TrainingWork,
    failure_of,
    work_on,
)
from humpback_pipeline.storage import Manifest, OutOfSpaceError
from humpback_pipeline.training import TrainingDivergedError, TrainingEvent
from humpback_pipeline.training.uses import hand_over

M0 = model_name(0)
OWN_PROCESS = {
    "training.own_process": True,
    "training.checkpoint_every_steps": 1,
    "training.dropout": 0.1,
    "training.steps": 12,
}
# A stage that is killed, as a run's worker may be, in the midst of its training.
KILLED_STAGE = """
import os, signal
import psutil
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.training import train_and_save

def listen(event):
    if event.kind == "checkpoint" and event.step == 3:
        (worker,) = psutil.Process().children()
        print(worker.pid, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)

train_and_save(Workspace(load_recipe()), "m0", direction="forward", on_event=listen)
"""


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Here and in the processes started: sums in another order differ in their last digits."""
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def own_process_project(folder: Path, **changes: object) -> Project:
    """A project whose seeds are read and whose trainings have a process of their own."""
    project = make_project(folder, shards={}, recipe={**OWN_PROCESS, **changes}, n_pairs=12)
    write_seed_pairs(project.workspace())
    return project


def train(workspace: Workspace, **listeners: object) -> Manifest:
    return train_and_save(workspace, M0, direction="forward", **listeners)


def test_killed_training_goes_on_by_itself_and_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    project = own_process_project(tmp_path / "project")
    workspace = project.workspace()
    stage = subprocess.run(
        [sys.executable, "-c", KILLED_STAGE],
        env=project.environment,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        timeout=300,
    )
    assert stage.returncode == -signal.SIGKILL
    worker = int(stage.stdout)
    deadline_s = time.monotonic() + 20.0
    while psutil.pid_exists(worker) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert not psutil.pid_exists(worker)
    checkpoints = workspace.home / "checkpoints" / M0
    assert list(checkpoints.glob("*/checkpoint-*"))

    # Where a training runs is none of what shapes it.
    project.change_recipe(training__own_process=False)
    resumed = train(project.workspace())
    assert len(resumed.facts["resumed_at"]) == 1
    assert 3 <= resumed.facts["resumed_at"][0] < 12
    assert not checkpoints.exists()
    assert not list(workspace.models.versions(M0).folder.glob(".tmp-*"))
    whole = own_process_project(tmp_path / "whole", **{"training.own_process": False})
    undisturbed = train(whole.workspace())
    assert undisturbed.facts["resumed_at"] == []
    assert resumed.facts["train_curve"] == undisturbed.facts["train_curve"]
    assert resumed.facts["held_out_curve"] == undisturbed.facts["held_out_curve"]
    assert resumed.files["model.safetensors"] == undisturbed.files["model.safetensors"]


def test_crash_of_the_process_is_an_error_that_says_what_to_change(tmp_path: Path) -> None:
    workspace, before = own_process_project(tmp_path / "project").workspace(), children()
    told: list[Progress | TrainingEvent] = []

    def kill_worker(event: TrainingEvent) -> None:
        told.append(event)
        if event.kind == "checkpoint":
            for child in children() - before:
                child.kill()

    with pytest.raises(TrainingProcessError, match=r"SIGKILL.*micro_batch_size") as error:
        train(workspace, on_event=kill_worker, on_progress=told.append)
    assert passing_reason(error.value)
    assert not workspace.models.versions(M0).has_current()
    assert children() == before
    (step,) = [event for event in told if isinstance(event, TrainingEvent) and event.kind == "step"]
    assert step.facts["loss"] > 0
    assert [progress.done for progress in told if isinstance(progress, Progress)] == [1]


def test_error_of_training_reaches_the_stage_as_itself(tmp_path: Path) -> None:
    rates = {"training.learning_rate_start": 1e4, "training.learning_rate_end": 1e4}
    workspace, before = own_process_project(tmp_path / "project", **rates).workspace(), children()

    with pytest.raises(TrainingDivergedError) as error:
        train(workspace)
    assert error.value.step > 0
    assert error.value.example_ids
    assert children() == before


def test_single_process_is_none_of_a_launcher_around_it(monkeypatch: pytest.MonkeyPatch) -> None:
    launcher = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR")
    for name in (*launcher, "MASTER_PORT"):
        monkeypatch.setenv(name, "1")
    alone = training_process._environment(0, 1)
    assert not {*launcher, "MASTER_PORT"} & alone.keys()
    assert alone["HF_HUB_OFFLINE"] == "1"
    assert training_process._environment(1, 2)["WORLD_SIZE"] == "2"


def test_trace_of_a_librarys_value_error_is_logged_and_ours_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = Pipe()
    (tmp_path / WORK).write_text("{}", encoding="utf-8")
    monkeypatch.setattr(TrainingWork, "model_validate_json", lambda _: random.sample([1], 2))
    work_on(tmp_path, theirs)
    assert json.loads(ours.recv_bytes())[1]["kind"] == "ValueError"
    assert "Traceback" in caplog.text

    caplog.clear()
    monkeypatch.setattr(TrainingWork, "model_validate_json", lambda _: trivial_work(tmp_path))
    hand_over([], tmp_path, EXAMPLES)
    hand_over([], tmp_path, HELD_OUT)
    work_on(tmp_path, theirs)
    assert "no examples" in json.loads(ours.recv_bytes())[1]["message"]
    assert "Traceback" not in caplog.text


def trivial_work(folder: Path) -> TrainingWork:
    places = {"base": folder, "output_dir": folder, "checkpoint_dir": folder, "log_dir": folder}
    rest = {"base_identity": {}, "stage": "m0", "trust_remote_code": False}
    return TrainingWork(settings=TrainingRecipe(), **places, **rest)


def test_memory_that_ran_out_in_the_process_names_what_saves_it() -> None:
    failure = failure_of(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert failure.out_of_memory
    error = error_of(failure, "training m0")
    assert passing_reason(error) == "memory ran out"
    goes_on, anew = str(error).split("goes on from its last checkpoint")
    assert all(setting in goes_on for setting in ("micro_batch_size", "gradient_checkpointing"))
    assert all(setting in anew for setting in ("max_tokens", "lora", "starts anew"))
    known = error_of(failure_of(OutOfSpaceError("disk: 3 MB free")), "training m0")
    assert isinstance(known, OutOfSpaceError)
    assert str(known) == "disk: 3 MB free"
