"""Tiny real models: random two-layer Llamas with byte-level tokenizers, made in a second."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from humpback_pipeline.recipe_section import PACKAGE_DIR

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = ["Write a poem about the sea.", "The sea is wide and blue.", "What is the answer?"] * 20
WINDOW_TOKENS = 8_192  # of `save_byte_model`: bytes are tokens, and the rubric has two thousand


def save_tiny_model(
    folder: Path,
    *,
    template: str | None = CHATML,
    vocab_size: int = 320,
    dtype: str = "float32",
    nan: bool = False,
) -> Path:
    """The smallest: a short window, and a head that an adapter can steer."""
    tokenizer = _trained_tokenizer(
        CORPUS,
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
        eos_token="<|im_end|>",
    )
    tokenizer.chat_template = template
    return _save(
        folder,
        tokenizer,
        dtype=dtype,
        nan=nan,
        vocab_size=vocab_size,
        hidden_size=32,
        intermediate_size=64,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        initializer_range=0.2,  # large enough for an adapter to steer the frozen head
        tie_word_embeddings=True,
        bos_token_id=1,
        eos_token_id=2,
    )


def rater_config(tokenizer: Any, **more: Any) -> Any:
    """Of a Llama that reads bytes and has uneven odds, to judge pairs with."""
    from transformers import LlamaConfig

    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=2_048,
        initializer_range=0.3,
        eos_token_id=tokenizer.eos_token_id,
        **more,
    )


def save_trainable_model(folder: Path) -> Path:
    """One that learns in a few steps to end its instructions; its tokens are the seeds' own."""
    from tokenizers import pre_tokenizers

    tokenizer = _trained_tokenizer(
        (PACKAGE_DIR / "examples" / "seed_pairs.jsonl").read_text().splitlines(),
        before=[pre_tokenizers.Digits(individual_digits=True)],
        vocab_size=2_000,
        special_tokens=["<s>", "</s>"],
        bos_token="<s>",
        eos_token="</s>",
        pad_token="</s>",
    )
    return _save(
        folder,
        tokenizer,
        dtype="bfloat16",
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=128,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=4_096,
        bos_token_id=0,
        eos_token_id=1,
    )


def save_byte_model(folder: Path) -> Path:
    """One for engines: every byte is a token, and probabilities differ from token to token."""
    tokenizer = byte_tokenizer()
    return _save(
        folder,
        tokenizer,
        dtype="bfloat16",
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=256,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=WINDOW_TOKENS,
        initializer_range=0.15,  # wide, for the sake of the probabilities
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )


def byte_tokenizer() -> Any:
    """One token a byte, and two special ones."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {
        token: index for index, token in enumerate(["<|im_start|>", "<|im_end|>", *alphabet])
    }
    raw = _byte_level(Tokenizer(models.BPE(vocabulary, [])))
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=raw, bos_token="<|im_start|>", eos_token="<|im_end|>"
    )
    tokenizer.chat_template = CHATML
    return tokenizer


def _trained_tokenizer(
    texts: Iterable[str],
    *,
    vocab_size: int,
    special_tokens: list[str],
    before: Iterable[Any] = (),
    **names: str,
) -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = _byte_level(Tokenizer(models.BPE()), before)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=special_tokens,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, **names)


def _byte_level(raw: Any, before: Iterable[Any] = ()) -> Any:
    from tokenizers import decoders, pre_tokenizers

    last = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.pre_tokenizer = pre_tokenizers.Sequence([*before, last]) if before else last
    raw.decoder = decoders.ByteLevel()
    return raw


def _save(folder: Path, tokenizer: Any, *, dtype: str, nan: bool = False, **config: Any) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = LlamaForCausalLM(LlamaConfig(num_hidden_layers=2, **config))
    model = model.to(getattr(torch, dtype))
    if nan:
        model.model.norm.weight.data[0] = float("nan")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
