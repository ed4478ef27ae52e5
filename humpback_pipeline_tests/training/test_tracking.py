"""What a training leaves for TensorBoard, and what other tools it needs."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.recipe_training import DistributedRecipe
from humpback_pipeline.training import TrainingExample, train_model

EXAMPLES = [
    TrainingExample(f"e{i}", tuple(range(10, 14 + i)), (*range(60 + 9 * i, 68 + 9 * i), 2))
    for i in range(8)
]


def test_event_files_hold_the_curves_that_the_result_names(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    accumulators = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "model"
    result = train_model(tiny_base, EXAMPLES, EXAMPLES[:2], settings, folder)
    read = accumulators.EventAccumulator(str(folder / "tensorboard"))
    read.Reload()
    train = [(scalar.step, scalar.value) for scalar in read.Scalars("train/loss")]
    assert train == [(step + 1, pytest.approx(loss)) for step, loss, _ in result.train_curve]
    rates = [scalar.value for scalar in read.Scalars("train/learning_rate")]
    assert rates[0] > rates[-1]
    held_out = [(scalar.step, scalar.value) for scalar in read.Scalars("eval/loss")]
    assert held_out == [(step, pytest.approx(loss)) for step, loss in result.held_out_curve]
    assert not list(folder.glob("training-*"))


@pytest.mark.parametrize(
    ("changes", "module"),
    [
        ({"report_to": ("wandb",)}, "wandb"),
        ({"report_to": ("mlflow",)}, "mlflow"),
        ({"distributed": DistributedRecipe(strategy="zero3")}, "deepspeed"),
    ],
)
def test_missing_library_is_named_with_its_extra_before_anything_is_loaded(
    changes: dict[str, object],
    module: str,
    settings: TrainingRecipe,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == module else find_spec(name)
    )
    with pytest.raises(ValueError, match=rf"{module}.*humpback-pipeline\[{module}\]"):
        train_model(
            tmp_path / "no-base",
            EXAMPLES,
            [],
            settings.model_copy(update=changes),
            tmp_path / "model",
            base_identity={"content_hash": "0"},
        )
