"""A training that is ended goes on from its last checkpoint as if nothing had been."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from humpback_pipeline.models import load_causal_lm, load_tokenizer, servable_directory
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.recipe_training import DivergenceRecipe
from humpback_pipeline.training import TrainingEvent, TrainingExample, TrainingResult, train_model
from humpback_pipeline.training.checkpoints import Checkpoints, read_facts
from humpback_pipeline.training.loss import held_out_loss
from humpback_pipeline.training.trainer import Collator

EXAMPLES = [
    TrainingExample(f"e{i}", tuple(range(10, 14 + i)), (*range(60 + 9 * i, 68 + 9 * i), 2))
    for i in range(8)
]


class EndedError(Exception):
    """What ends a training in these tests."""


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
    from humpback_pipeline.training import snapshot

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
    from humpback_pipeline.training import run

    def full(*_: object) -> None:
        raise OutOfSpaceError("full")

    monkeypatch.setattr(run, "check_free_space", full)
    result = trainings.run(settings, "model")
    assert len(result.train_curve) == settings.steps
    assert trainings.steps("checkpoint") == []


def test_best_weights_are_kept_if_the_recipe_says_so(
    trainings: Trainings, settings: TrainingRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from humpback_pipeline.training import listening

    monkeypatch.setattr(listening, "MIN_STEPS_BETWEEN_MEASUREMENTS", 2)
    # Far too fast at the end: the held-out loss falls, then rises.
    settings = settings.model_copy(
        update={
            "learning_rate_start": 5e-3,
            "learning_rate_end": 0.5,
            "steps": 8,
            "divergence": DivergenceRecipe(loss_ratio=None),
        }
    )
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
