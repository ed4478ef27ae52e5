"""A loss that explodes ends the training and says where; one that is merely restless does not."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from tiny_models import save_tiny_model

from humpback_pipeline.models import load_causal_lm
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.recipe_training import DivergenceRecipe
from humpback_pipeline.training import TrainingDivergedError, TrainingExample, train_model, trainer
from humpback_pipeline.training.divergence import LossWatch
from humpback_pipeline.training.loss import held_out_loss
from humpback_pipeline.training.order import training_order
from humpback_pipeline.training.trainer import Collator

EXAMPLES = [
    TrainingExample(f"e{i}", tuple(range(10, 14 + i)), (*range(60 + 9 * i, 68 + 9 * i), 2))
    for i in range(8)
]


def first_alarm(losses: list[float], start: float | None = None, **settings: float) -> int | None:
    """The step, counted from 1, at which the watch speaks up."""
    watch = LossWatch(DivergenceRecipe(**settings))
    if start is not None:
        watch.begin(start)
    return next((step for step, loss in enumerate(losses, 1) if watch.look(loss)), None)


def test_diverging_learning_rate_stops_with_step_and_examples(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    wild = {"learning_rate_start": 3.0, "learning_rate_end": 3.0, "steps": 40, "method": "full"}
    settings = settings.model_copy(update=wild)
    with pytest.raises(TrainingDivergedError, match=r"loss has been above") as error:
        train_model(tiny_base, EXAMPLES, EXAMPLES[:2], settings, tmp_path / "model")
    step = error.value.step
    assert 5 <= step < 40
    lengths = [example.n_tokens for example in EXAMPLES]
    order = list(training_order(lengths, settings.batch_size, 40, settings.seed))
    of_step = order[(step - 1) * settings.batch_size : step * settings.batch_size]
    assert list(error.value.example_ids) == [f"e{index}" for index in of_step]
    assert not (tmp_path / "model").exists()

    calm = settings.model_copy(update={"divergence": DivergenceRecipe(loss_ratio=None)})
    result = train_model(tiny_base, EXAMPLES, EXAMPLES[:2], calm, tmp_path / "model")
    assert len(result.train_curve) == 40


def test_explosion_is_told_from_a_slow_climb_and_from_the_first_steps() -> None:
    assert first_alarm([2.0] * 30 + [4.5] * 10) == 35
    assert first_alarm([2.0] * 30 + [4.5] * 10, steps=2) == 32
    climbing = [2.0 * math.exp(step / 40) for step in range(200)]
    alarm = first_alarm(climbing)
    assert alarm is not None
    assert alarm < 50
    assert first_alarm([50.0] * 10) is None
    assert first_alarm([2.1] + [50.0] * 10, start=2.0) == 6


def test_harder_examples_than_those_held_out_are_no_explosion() -> None:
    # Seeds held out at 0.8 nats, most of a step curated pairs at 2.2.
    steady = [2.2, 2.18, 2.21, 2.15, 2.17, 2.1, *[2.05] * 40]
    assert first_alarm(steady, start=0.8) is None
    assert first_alarm([*steady, *[4.5] * 5], start=0.8) == len(steady) + 5
    # Easier ones: the held-out loss is what counts.
    assert first_alarm([0.3, *[2.5] * 20], start=1.5) is None


@pytest.mark.parametrize("bad_step", [3, 6])  # the last is measured as well
def test_gradient_that_is_no_number_names_its_step_before_the_weights_are_changed(
    bad_step: int,
    tiny_base: Path,
    settings: TrainingRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch
    from torch.optim.optimizer import register_optimizer_step_pre_hook

    n_steps, finite = 0, []

    def note(optimizer: Any, *_: object) -> None:
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        finite.append(all(bool(torch.isfinite(p.grad).all()) for p in weights))

    real = trainer.completion_nll

    def poisoned(model: Any, batch: dict[str, Any]) -> Any:
        nonlocal n_steps
        loss = real(model, batch)
        n_steps += 1  # in halves
        if n_steps == 2 * bad_step:
            loss.register_hook(lambda gradient: gradient * math.nan)
        return loss

    monkeypatch.setattr(trainer, "completion_nll", poisoned)
    hook = register_optimizer_step_pre_hook(note)
    try:
        with pytest.raises(TrainingDivergedError, match="gradient's norm is nan") as error:
            train_model(tiny_base, EXAMPLES, EXAMPLES[:2], settings, tmp_path / "model")
    finally:
        hook.remove()
    assert error.value.step == bad_step
    assert finite == [True] * (bad_step - 1)
    lengths = [example.n_tokens for example in EXAMPLES]
    order = list(training_order(lengths, settings.batch_size, settings.steps, settings.seed))
    of_step = order[(bad_step - 1) * settings.batch_size : bad_step * settings.batch_size]
    assert list(error.value.example_ids) == [f"e{index}" for index in of_step]


def test_held_out_loss_that_is_no_number_names_the_steps_done(tmp_path: Path) -> None:
    model = save_tiny_model(tmp_path / "base", nan=True)
    with pytest.raises(TrainingDivergedError) as error:
        held_out_loss(load_causal_lm(model, dtype="float32"), EXAMPLES[:2], Collator(0), 2, step=7)
    assert error.value.step == 7


@pytest.mark.parametrize(
    "losses",
    [
        [2.0, 4.5, 2.0, 4.5] * 20,
        [2.0] * 10 + [9.0] * 4 + [2.0] * 10,
        [0.01] * 20 + [0.9] * 20,
        [3.0 - 0.02 * step for step in range(100)],
    ],
)
def test_restless_loss_is_let_be(losses: list[float]) -> None:
    assert first_alarm(losses, start=3.0) is None
