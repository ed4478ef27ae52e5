from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_models import save_tiny_model

from humpback_pipeline.recipe import LoraRecipe, TrainingRecipe


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that no test changes."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tensors this small gain nothing from threads, and threads wait for each other when busy."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def settings() -> TrainingRecipe:
    """A quick LoRA training without any randomness but the seed's."""
    return TrainingRecipe(
        method="lora",
        lora=LoraRecipe(rank=4, alpha=8, dropout=0.0),
        dropout=0.0,
        learning_rate_start=2e-2,
        learning_rate_end=1e-2,
        batch_size=4,
        steps=6,
        micro_batch_size=2,
        max_tokens=128,
        samples=0,
    )
