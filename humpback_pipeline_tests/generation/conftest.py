"""A tiny real model for real engines, and the transformers engine with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_models import save_byte_model
from tiny_settings import tiny_settings

from humpback_pipeline.chat import Prompts, load_prompts
from humpback_pipeline.generation import TextGenerator, open_generator


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_byte_model(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def tiny_adapter(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LoRA adapter that changes the tiny model's answers."""
    import torch
    from peft import LoraConfig, get_peft_model

    from humpback_pipeline.models import load_causal_lm, load_tokenizer

    folder = tmp_path_factory.mktemp("tiny-adapter")
    settings = LoraConfig(r=4, target_modules="all-linear", init_lora_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = get_peft_model(load_causal_lm(tiny_model, device="cpu"), settings)
    model.save_pretrained(folder)
    load_tokenizer(tiny_model).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def generator(tiny_model: Path, cache_dir: Path) -> Iterator[TextGenerator]:
    """The tiny model on the transformers engine."""
    with open_generator(tiny_model, tiny_settings("transformers"), cache_dir=cache_dir) as opened:
        yield opened


@pytest.fixture(scope="session")
def prompts() -> Prompts:
    return load_prompts()
