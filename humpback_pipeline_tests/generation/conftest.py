"""A tiny random Llama with a byte-level tokenizer: a real model for real engines, in a second."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from humpback_pipeline.chat import Prompts, load_prompts
from humpback_pipeline.generation import TextGenerator, notebook_settings, open_generator
from humpback_pipeline.recipe import GenerationRecipe

WINDOW = 8_192  # bytes are tokens here, and the rubric has two thousand of them
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_tokenizer() -> Any:
    """One token a byte, and two special ones."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {
        token: index for index, token in enumerate(["<|im_start|>", "<|im_end|>", *alphabet])
    }
    raw = Tokenizer(models.BPE(vocabulary, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    tokenizer.chat_template = CHATML
    return tokenizer


@pytest.fixture(scope="session")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("tiny-model")
    tokenizer = byte_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=WINDOW,
        initializer_range=0.15,  # wide, so that probabilities differ from token to token
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


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


def tiny_settings(engine: str, **vllm: Any) -> GenerationRecipe:
    """Settings for the tiny model, with its window."""
    settings = notebook_settings()
    changed = {"max_model_tokens": WINDOW, "cpu_kv_cache_gib": 1, **vllm}
    return settings.model_copy(
        update={"engine": engine, "vllm": settings.vllm.model_copy(update=changed)}
    )


@pytest.fixture(scope="session")
def generator(tiny_model: Path, cache_dir: Path) -> Iterator[TextGenerator]:
    """The tiny model on the transformers engine."""
    with open_generator(tiny_model, tiny_settings("transformers"), cache_dir=cache_dir) as opened:
        yield opened


@pytest.fixture(scope="session")
def prompts() -> Prompts:
    return load_prompts()
