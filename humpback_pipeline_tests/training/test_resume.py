"""A training that is ended goes on from its last checkpoint as if nothing had been."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
from safetensors import SafetensorError

from humpback_pipeline.models import load_causal_lm, load_tokenizer, servable_directory
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.recipe_training import DivergenceRecipe
from humpback_pipeline.training import (
    TrainingEvent,
    TrainingExample,
    TrainingResult,
    listening,
    snapshot,
    train_model,
)
from humpback_pipeline.training.cadence import CheckpointCadence
from humpback_pipeline.training.checkpoints import Checkpoints, read_facts
from humpback_pipeline.training.loss import held_out_loss
from humpback_pipeline.training.trainer import Collator

EXAMPLES = [
    TrainingExample(f"e{i}", tuple(range(10, 14 + i)), (*range(60 + 9 * i, 68 + 9 * i), 2))
    for i in range(8)
]


# Far too fast at the end: the held-out loss falls, then rises.
RISING = {
    "learning_rate_start": 5e-3,
    "learning_rate_end": 0.5,
    "steps": 8,
    "divergence": DivergenceRecipe(loss_ratio=None),
}


class EndedError(Exception):
    """What ends a training in these tests."""


def failing(write: Callable[..., None], at: set[int], error: Exception) -> Callable[..., None]:
    """`write`, but the calls of these numbers, counted from 1, raise `error` half-way."""
    calls = itertools.count(1)

    def write_or_fail(*arguments: Any) -> None:
        write(*arguments)
        if next(calls) in at:
            raise error

    return write_or_fail


@pytest.fixture
def settings(settings: TrainingRecipe) -> TrainingRecipe:
    """With both kinds of dropout, so that the random numbers matter, and a checkpoint a step."""
    lora = settings.lora.model_copy(update={"dropout": 0.2})
    return settings.model_copy(update={"dropout": 0.2, "checkpoint_every_s": 0.0, "lora": lora})


class Trainings:
    """Trainings of one base that share a folder of checkpoints."""

    def __init__(self, base: Path, folder: Path) -> None:
        self.base, self.folder = base, folder
        self.checkpoints = folder / "checkpoints"
        self.events: list[TrainingEvent] = []

    def run(
        self,
        settings: TrainingRecipe,
        name: str,
        *,
        end_at: int = -1,
        examples: list[TrainingExample] = EXAMPLES,
        resumable: bool = True,
    ) -> TrainingResult:
        """Train; `end_at` is the step in whose midst it ends, before that step's checkpoint."""

        def listen(event: TrainingEvent) -> None:
            self.events.append(event)
            if event.kind == "step" and event.step == end_at:
                raise EndedError

        return train_model(
            self.base,
            examples,
            EXAMPLES[:3],
            settings,
            self.folder / name,
            on_event=listen,
            checkpoint_dir=self.checkpoints if resumable else None,
        )

    def steps(self, kind: str) -> list[int]:
        """After which steps something was told."""
        return [event.step for event in self.events if event.kind == kind]

    def weights(self, name: str) -> bytes:
        """The model's file of weights."""
        (path,) = (self.folder / name).glob("*.safetensors")
        return path.read_bytes()


@pytest.fixture
def trainings(tiny_base: Path, tmp_path: Path) -> Trainings:
    return Trainings(tiny_base, tmp_path)


@pytest.mark.parametrize("method", ["full", "lora"])
def test_resumed_training_equals_an_uninterrupted_one(
    method: str, trainings: Trainings, settings: TrainingRecipe
) -> None:
    settings = settings.model_copy(update={"method": method, "learning_rate_start": 2e-3})
    whole = trainings.run(settings, "whole", resumable=False)
    for end_at in (3, 5):
        with pytest.raises(EndedError):
            trainings.run(settings, "resumed", end_at=end_at)
    resumed = trainings.run(settings, "resumed")
    assert resumed.resumed_at == [2, 4]
    assert resumed.train_curve == whole.train_curve
    assert resumed.held_out_curve == whole.held_out_curve
    assert trainings.weights("resumed") == trainings.weights("whole")
    assert len({loss for _, loss, _ in whole.train_curve}) == settings.steps
    # Of dropout: without the random numbers' state the losses after a resume would differ.
    dry = settings.model_copy(update={"dropout": 0.0})
    dry = dry.model_copy(update={"lora": settings.lora.model_copy(update={"dropout": 0.0})})
    assert trainings.run(dry, "dry", resumable=False).train_curve != whole.train_curve


def test_checkpoints_are_whole_the_last_two_and_without_pickle(
    trainings: Trainings, settings: TrainingRecipe
) -> None:
    with pytest.raises(EndedError):
        trainings.run(settings, "model", end_at=5)
    (folder,) = trainings.checkpoints.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-3", "checkpoint-4"]
    last = Checkpoints(folder).last()
    assert last == folder / "checkpoint-4"
    assert len(read_facts(last)["train_curve"]) == 4
    assert {path.suffix for path in last.iterdir()} == {".json", ".safetensors"}
    assert trainings.steps("checkpoint") == [1, 2, 3, 4]


def test_half_written_checkpoint_is_never_gone_on_from(
    trainings: Trainings, settings: TrainingRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Path] = []

    def save_until_third(folder: Path) -> None:
        written.append(folder)
        if len(written) == 3:
            raise EndedError

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "save_random_states", save_until_third)
        with pytest.raises(EndedError):
            trainings.run(settings, "model")
    (folder,) = trainings.checkpoints.iterdir()
    (folder / f".tmp-checkpoint-9-{2**22 - 1}-0123abcd").mkdir()  # of a process that is no more
    assert Checkpoints(folder).last() == folder / "checkpoint-2"
    assert [path.name for path in folder.glob(".tmp-*")] == []


def test_other_settings_or_data_begin_anew(trainings: Trainings, settings: TrainingRecipe) -> None:
    with pytest.raises(EndedError):
        trainings.run(settings, "model", end_at=4)
    changed = settings.model_copy(update={"weight_decay": 0.0})
    assert trainings.run(changed, "other-recipe").resumed_at == []
    assert trainings.run(settings, "other-data", examples=EXAMPLES[1:]).resumed_at == []
    operation = {"checkpoint_every_s": 900.0, "divergence": DivergenceRecipe(loss_ratio=9.0)}
    same = settings.model_copy(update=operation)
    assert trainings.run(same, "same").resumed_at == [3]


@pytest.mark.parametrize(
    ("schedule", "steps"),
    [
        ({"checkpoint_every_s": 600.0}, []),
        ({"checkpoint_every_s": None}, []),
        ({"checkpoint_every_s": None, "checkpoint_every_steps": 4}, [4]),
    ],
)
def test_checkpoints_are_written_when_the_recipe_says(
    schedule: dict[str, Any], steps: list[int], trainings: Trainings, settings: TrainingRecipe
) -> None:
    trainings.run(settings.model_copy(update=schedule), "model")
    assert trainings.steps("checkpoint") == steps


def test_full_disk_skips_checkpoints_and_not_the_training(
    trainings: Trainings, settings: TrainingRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from humpback_pipeline.storage import OutOfSpaceError
    from humpback_pipeline.training import checkpoints

    asked: set[int] = set()

    def full(_: object, n_bytes: int) -> None:
        asked.add(n_bytes)
        raise OutOfSpaceError("full")

    monkeypatch.setattr(checkpoints, "check_free_space", full)
    result = trainings.run(settings, "model")
    assert len(result.train_curve) == settings.steps
    assert trainings.steps("checkpoint") == []
    # Of the first one as well: the adapter and its two moments, in float32.
    adapter = safetensors.torch.load(trainings.weights("model"))
    assert asked == {3 * 4 * sum(weight.numel() for weight in adapter.values())}


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("I/O error")]
)
def test_disk_that_fails_in_the_midst_of_a_checkpoint_does_not_end_the_training(
    error: Exception,
    trainings: Trainings,
    settings: TrainingRecipe,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(snapshot, "save_optimizer", failing(snapshot.save_optimizer, {3}, error))
    with pytest.raises(EndedError):
        trainings.run(settings, "model", end_at=4)
    assert trainings.steps("checkpoint") == [1, 2]
    assert "checkpoint-3 is not written" in caplog.text
    (folder,) = trainings.checkpoints.iterdir()
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint-1", "checkpoint-2"]
    assert trainings.run(settings, "model").resumed_at == [2]


def test_best_weights_that_the_disk_fails_at_are_not_said_to_be_kept(
    trainings: Trainings, settings: TrainingRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MIN_STEPS_BETWEEN_MEASUREMENTS", 2)
    # Too fast after the sixth step of eight: the lowest loss is under way.
    best = settings.model_copy(update=RISING | {"keep": "best", "checkpoint_every_s": None})
    usual = trainings.run(best, "usual")
    measured = [step for step, _ in usual.held_out_curve if step]
    losses = dict(usual.held_out_curve)
    n_lowest = measured.index(usual.kept_step) + 1
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(snapshot, "save_weights", failing(snapshot.save_weights, {n_lowest}, full))
    result = trainings.run(best, "full-disk")
    assert result.held_out_curve == usual.held_out_curve
    others = [step for step in measured if step != usual.kept_step]
    assert result.kept_step == min(others, key=losses.__getitem__)
    assert result.loss_after == losses[result.kept_step]


def test_damaged_checkpoint_is_passed_over_for_the_one_before(
    trainings: Trainings, settings: TrainingRecipe, caplog: pytest.LogCaptureFixture
) -> None:
    whole = trainings.run(settings, "whole", resumable=False)
    for end_at, damaged in ((4, "weights-00000.safetensors"), (5, "random-00000.json")):
        with pytest.raises(EndedError):
            trainings.run(settings, "model", end_at=end_at)
        (folder,) = trainings.checkpoints.iterdir()
        path = folder / f"checkpoint-{end_at - 1}" / damaged
        path.write_bytes(path.read_bytes()[:100])
    result = trainings.run(settings, "model")
    assert result.resumed_at == [2, 3]
    assert result.train_curve == whole.train_curve
    assert "checkpoint-4 cannot be read" in caplog.text


@pytest.mark.parametrize("change", [{"micro_batch_size": 1}, {"gradient_checkpointing": True}])
def test_training_that_ran_out_of_memory_goes_on_with_less_of_it(
    change: dict[str, Any], trainings: Trainings, settings: TrainingRecipe
) -> None:
    dry = settings.lora.model_copy(update={"dropout": 0.0})
    settings = settings.model_copy(update={"dropout": 0.0, "lora": dry})
    whole = trainings.run(settings, "whole", resumable=False)
    with pytest.raises(EndedError):
        trainings.run(settings, "model", end_at=4)
    less = settings.model_copy(update=change)
    assert less.shaping() == settings.shaping()
    resumed = trainings.run(less, "model")
    assert resumed.resumed_at == [3]
    assert resumed.n_tokens == whole.n_tokens
    losses = [loss for _, loss, _ in resumed.train_curve]
    # Sums in another order, in bf16.
    assert losses == pytest.approx([loss for _, loss, _ in whole.train_curve], abs=0.02)


def test_checkpoints_take_a_twentieth_of_the_time_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    cadence = CheckpointCadence(every_s=60.0, every_steps=None)
    cadence.reset()

    def due(since_s: float, measured: bool = False) -> bool:
        nonlocal now_s
        now_s += since_s
        is_due = cadence.is_due(1, training_s=now_s, measured=measured)
        now_s -= since_s
        return is_due

    assert (due(59.0), due(60.0), due(30.0, measured=True)) == (False, True, False)
    now_s = 1_000.0
    cadence.reset(took_s=30.0)
    assert (due(60.0), due(599.0), due(600.0)) == (False, False, True)
    assert (due(599.0, measured=True), due(600.0, measured=True)) == (False, True)
    cadence.reset(took_s=1.0)
    assert (due(60.0), due(20.0, measured=True), due(19.0, measured=True)) == (True, True, False)
    each = CheckpointCadence(every_s=0.0, every_steps=None)
    each.reset(took_s=30.0)
    assert each.is_due(1, training_s=0.0, measured=False)


def test_best_weights_are_kept_if_the_recipe_says_so(
    trainings: Trainings, settings: TrainingRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "MIN_STEPS_BETWEEN_MEASUREMENTS", 2)
    settings = settings.model_copy(update=RISING)
    best = settings.model_copy(update={"keep": "best"})
    kept_last = trainings.run(settings, "last", resumable=False)
    with pytest.raises(EndedError):
        trainings.run(best, "best", end_at=7)
    kept_best = trainings.run(best, "best")
    assert kept_best.resumed_at == [6]
    assert kept_best.held_out_curve == kept_last.held_out_curve
    trained = {step: loss for step, loss in kept_best.held_out_curve if step}
    assert kept_best.loss_after == min(trained.values()) < trained[8] == kept_last.loss_after
    assert (kept_last.kept_step, trained[kept_best.kept_step]) == (8, kept_best.loss_after)
    assert trainings.weights("best") != trainings.weights("last")
    served = servable_directory(trainings.folder / "best", trainings.folder / "cache")
    collate = Collator(load_tokenizer(served).pad_token_id)
    again = held_out_loss(load_causal_lm(served, dtype="float32"), EXAMPLES[:3], collate, 4)
    assert again == pytest.approx(kept_best.loss_after, rel=0.05)
