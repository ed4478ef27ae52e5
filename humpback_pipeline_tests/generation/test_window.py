"""A model's own window, whatever its architecture calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_models import byte_tokenizer
from tiny_settings import tiny_settings

from humpback_pipeline.generation import (
    GenerationError,
    GenerationRequest,
    LazyGenerator,
    LikelihoodRequest,
    TextGenerator,
    lazy,
    open_generator,
)
from humpback_pipeline.generation.lazy import engine_identity
from humpback_pipeline.recipe_curation import SamplingRecipe

OWN_TOKENS = 256
LONG = GenerationRequest("long", [{"role": "user", "content": "tide " * 200}])


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It calls its window `n_positions`, and fails where it is asked to read past it."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    folder = tmp_path_factory.mktemp("gpt2")
    tokenizer = byte_tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = GPT2Config(
            vocab_size=len(tokenizer),
            n_positions=OWN_TOKENS,
            n_embd=32,
            n_layer=2,
            n_head=2,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
        )
        GPT2LMHeadModel(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("most", [128, 2 * OWN_TOKENS])
def test_gpt2_answers_within_its_own_window(most: int, gpt2: Path, cache_dir: Path) -> None:
    settings = tiny_settings("transformers", max_model_tokens=most)
    with LazyGenerator(gpt2, settings, cache_dir=cache_dir) as engine:
        assert engine.identity["max_model_tokens"] == min(most, OWN_TOKENS)
        (text,) = engine.generate([LONG], SamplingRecipe(max_new_tokens=4))
        (chosen,) = engine.choose([LONG], ("1", "2"))
        (read,) = engine.likelihoods([LikelihoodRequest("long", LONG.messages, "so " * 200)])
    assert text.prompt_cut
    assert text.n_prompt_tokens <= min(most, OWN_TOKENS) - 4
    assert chosen.prompt_cut
    assert read.cut
    assert read.error is None


def test_window_of_a_language_model_inside_another_is_found(
    tmp_path: Path, cache_dir: Path
) -> None:
    from transformers import LlavaConfig

    text = {"model_type": "llama", "max_position_embeddings": 300}
    LlavaConfig(text_config=text).save_pretrained(tmp_path)
    settings = tiny_settings("transformers", max_model_tokens=1_000)
    assert engine_identity(tmp_path, settings, cache_dir)["max_model_tokens"] == 300


def test_model_that_has_changed_since_the_keys_were_made_is_an_error(
    tiny_model: Path, cache_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings("transformers")
    closed: list[bool] = []

    def open_other(folder: Path, *_: Any, **named: Any) -> TextGenerator:
        changed = tiny_settings("transformers", max_model_tokens=100)
        engine = open_generator(folder, changed, **named)
        monkeypatch.setattr(engine, "close", lambda: closed.append(True))
        return engine

    monkeypatch.setattr(lazy, "open_generator", open_other)
    with (
        LazyGenerator(tiny_model, settings, cache_dir=cache_dir) as engine,
        pytest.raises(GenerationError, match="max_model_tokens 8192 became 100"),
    ):
        engine.choose([LONG], ("1", "2"))
    assert closed == [True]
