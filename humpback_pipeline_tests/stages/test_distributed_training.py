"""One training in two real processes: the same steps, the same losses, the same model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from child_processes import children
from safetensors.torch import load_file
from tiny_models import save_tiny_model

from humpback_pipeline.generation import EngineSlot
from humpback_pipeline.models import load_causal_lm
from humpback_pipeline.progress import Progress
from humpback_pipeline.recipe import LoraRecipe, TrainingRecipe
from humpback_pipeline.recipe_training import DistributedRecipe
from humpback_pipeline.stages.training_process import train_in_own_process
from humpback_pipeline.stages.training_worker import TrainingWork
from humpback_pipeline.training import (
    OnEvent,
    TrainingEvent,
    TrainingExample,
    TrainingResult,
    ignore_event,
    train_model,
)

EXAMPLES = [
    TrainingExample(f"e{i}", tuple(range(10, 14 + i)), (*range(60 + 9 * i, 68 + 11 * i), 2))
    for i in range(12)
]
HELD_OUT = EXAMPLES[:3]  # two batches and a bit: shares that are not equal
SETTINGS = TrainingRecipe(
    method="full",
    dropout=0.0,
    learning_rate_start=5e-3,
    learning_rate_end=4e-3,
    batch_size=4,
    steps=6,
    micro_batch_size=2,
    max_tokens=128,
    checkpoint_every_s=None,
)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    import torch

    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def alone(base: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[TrainingResult, Path]:
    """The same training in one process."""
    folder = tmp_path_factory.mktemp("alone") / "model"
    return train_model(base, EXAMPLES, HELD_OUT, SETTINGS, folder), folder


class EndedError(Exception):
    """What ends a training in these tests."""


def train(
    base: Path, settings: TrainingRecipe, folder: Path, listen: OnEvent = ignore_event
) -> tuple[TrainingResult, list[Progress]]:
    told: list[Progress] = []
    before = children()
    work = TrainingWork(
        base=base,
        settings=settings,
        output_dir=folder / "model",
        base_identity={"spec": "tiny", "content_hash": "0" * 64},
        stage="m0",
        trust_remote_code=False,
        checkpoint_dir=folder / "checkpoints",
        log_dir=folder / "logs",
    )
    try:
        result = train_in_own_process(work, EXAMPLES, HELD_OUT, EngineSlot(), told.append, listen)
    finally:
        assert children() == before
    return result, told


def in_two(strategy: str, **changes: object) -> TrainingRecipe:
    distributed = DistributedRecipe(processes=2, strategy=strategy)
    return SETTINGS.model_copy(update={"distributed": distributed, **changes})


def assert_close(result: TrainingResult, single: TrainingResult, rel: float) -> None:
    for curve in ("train_curve", "held_out_curve"):
        ours, theirs = ([point[1] for point in getattr(x, curve)] for x in (result, single))
        assert ours == pytest.approx(theirs, rel=rel), curve


def assert_same_model(folder: Path, other: Path, most: float) -> None:
    """On average: where a gradient is all but zero, rounding decides which way Adam goes."""
    ours, theirs = (load_causal_lm(path, dtype="float32").state_dict() for path in (folder, other))
    assert ours.keys() == theirs.keys()
    for name, weights in ours.items():
        assert (weights - theirs[name]).abs().mean() < most, name


def test_two_ddp_processes_give_the_losses_of_one(
    base: Path, alone: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    result, told = train(base, in_two("ddp"), tmp_path)
    single, folder = alone
    assert result.n_processes == 2
    assert_close(result, single, rel=1e-4)
    assert [s["before"] for s in result.samples] == [s["before"] for s in single.samples]
    assert len(result.samples) == len(HELD_OUT)
    assert result.model_flops == single.model_flops
    assert [progress.done for progress in told][-1] == 6
    assert_same_model(tmp_path / "model", folder, most=1e-4)


def test_two_fsdp_processes_give_the_losses_of_one_even_when_ended_in_the_middle(
    base: Path, alone: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    settings = in_two("fsdp2", checkpoint_every_steps=2)

    def end(event: TrainingEvent) -> None:
        if event.kind == "step" and event.step == 5:
            raise EndedError

    def end_after_the_last_checkpoint(event: TrainingEvent) -> None:
        if event.kind == "kept":
            raise EndedError

    # The last checkpoint is written after a measurement, which leaves some of the model whole.
    for listen in (end, end_after_the_last_checkpoint):
        with pytest.raises(EndedError):
            train(base, settings, tmp_path, listen=listen)
        assert not (tmp_path / "model").exists()
    result, told = train(base, settings, tmp_path)
    single, folder = alone
    assert result.resumed_at == [4, 6]
    assert told == []
    assert result.samples == []
    assert "fsdp2" in result.samples_left_out
    assert result.model_flops == single.model_flops
    # Whole layers compute in bf16 there, and not just their products.
    assert_close(result, single, rel=5e-3)
    assert_same_model(tmp_path / "model", folder, most=2e-3)


def test_two_fsdp_processes_train_an_adapter_as_one_does(base: Path, tmp_path: Path) -> None:
    # Without dropout, as LoRA's own layers draw theirs in each process.
    adapter: dict[str, Any] = {"method": "lora", "lora": LoraRecipe(dropout=0.0)}
    result, _ = train(base, in_two("fsdp2", **adapter), tmp_path)
    settings = SETTINGS.model_copy(update=adapter)
    single = train_model(base, EXAMPLES, HELD_OUT, settings, tmp_path / "alone")
    assert_close(result, single, rel=1e-2)
    weights = load_file(tmp_path / "model" / "adapter_model.safetensors")
    theirs = load_file(tmp_path / "alone" / "adapter_model.safetensors")
    assert {name: w.shape for name, w in weights.items()} == {n: w.shape for n, w in theirs.items()}
    assert any(bool(w.any()) for name, w in weights.items() if "lora_B" in name)


def test_two_zero3_processes_give_the_losses_of_one(
    base: Path, alone: tuple[TrainingResult, Path], tmp_path: Path
) -> None:
    pytest.importorskip("deepspeed")
    result, _ = train(base, in_two("zero3"), tmp_path)
    single, folder = alone
    assert_close(result, single, rel=1e-2)
    assert_same_model(tmp_path / "model", folder, most=2e-3)
