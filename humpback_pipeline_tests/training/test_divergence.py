"""A loss that explodes ends the training and says where; one that is merely restless does not."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.recipe_training import DivergenceRecipe
from humpback_pipeline.training import TrainingDivergedError, TrainingExample, train_model
from humpback_pipeline.training.divergence import LossWatch
from humpback_pipeline.training.order import training_order

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
    assert first_alarm([50.0] * 10, start=2.0) == 5


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
