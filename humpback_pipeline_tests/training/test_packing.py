"""Packed rows: every example is read as if it were alone, whatever the architecture."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM

from humpback_pipeline.training.examples import TrainingExample
from humpback_pipeline.training.loss import completion_nll, held_out_loss
from humpback_pipeline.training.packing import FLASH, PACKED_SDPA, use_packing, uses_packing
from humpback_pipeline.training.trainer import Collator

SIZES = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
PACKABLE = ("llama", "qwen2", "qwen3", "mistral", "phi3", "olmo2", "gpt_neox", "gpt2")
EXAMPLES = [
    TrainingExample("a", (5, 6, 7), (8, 9)),
    TrainingExample("b", (11,), (12, 13, 14, 15, 16)),
    TrainingExample("c", (21, 22, 23, 24, 25, 26), (27,)),
]


def model_of(kind: str, **more: Any) -> Any:
    from transformers import AutoConfig

    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**SIZES, **more})
    return AutoModelForCausalLM.from_config(config).eval()


def rows_of(examples: list[TrainingExample]) -> list[dict[str, Any]]:
    return [{"input_ids": e.input_ids, "labels": e.labels} for e in examples]


@pytest.mark.parametrize("kind", PACKABLE)
def test_packed_rows_give_each_example_the_loss_it_has_alone(kind: str) -> None:
    model = model_of(kind)
    alone = [float(completion_nll(model, Collator(0)(rows_of([e])))) for e in EXAMPLES]
    assert use_packing(model, 16)
    assert uses_packing(model)
    packed = Collator(0, packed=True)
    together = completion_nll(model, packed(rows_of(EXAMPLES)))
    assert float(together) == pytest.approx(sum(alone), rel=1e-5)
    turned = completion_nll(model, packed(rows_of(EXAMPLES[::-1])))
    assert float(turned) == pytest.approx(sum(alone), rel=1e-5)


@pytest.mark.parametrize("kind", ["llama", "mistral"])
def test_packed_rows_give_the_gradient_of_padded_ones(kind: str) -> None:
    model = model_of(kind)
    completion_nll(model, Collator(0)(rows_of(EXAMPLES))).backward()
    padded = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    assert use_packing(model, 16)
    completion_nll(model, Collator(0, packed=True)(rows_of(EXAMPLES))).backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, padded[name], rtol=1e-4, atol=1e-6)


def test_neighbour_changes_nothing_when_packed() -> None:
    model = model_of("llama")
    assert use_packing(model, 16)
    collate = Collator(0, packed=True)
    other = TrainingExample("other", (40, 41, 42, 43), (44, 45))
    first = collate(rows_of([EXAMPLES[0], EXAMPLES[1]]))
    second = collate(rows_of([EXAMPLES[0], other]))
    n = EXAMPLES[0].n_tokens
    for batch in (first, second):
        batch.pop("labels")
    with torch.no_grad():
        one, two = (model(**batch).logits[0, :n] for batch in (first, second))
    torch.testing.assert_close(one, two, rtol=0, atol=1e-6)


def test_packed_model_still_generates_with_and_without_padding() -> None:
    prompts = torch.tensor([[0, 0, 5, 6], [7, 8, 9, 10]])
    mask = torch.tensor([[0, 0, 1, 1], [1, 1, 1, 1]])
    model = model_of("llama")
    options = {"max_new_tokens": 6, "do_sample": False}
    padded = model.generate(prompts, attention_mask=mask, **options)
    alone = model.generate(prompts[1:], attention_mask=mask[1:], **options)
    assert use_packing(model, 16)
    assert model.config._attn_implementation in (PACKED_SDPA, FLASH)
    assert torch.equal(model.generate(prompts, attention_mask=mask, **options), padded)
    assert torch.equal(model.generate(prompts[1:], attention_mask=mask[1:], **options), alone)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("mistral", {"sliding_window": 8}),  # shorter than the longest example
        ("mamba", {"state_size": 4}),  # passes state along the row
        ("gemma2", {"head_dim": 8, "sliding_window": 8}),
        ("nemotron", {}),  # loses on the way where the examples begin
        ("recurrent_gemma", {"lru_width": 32, "attention_window_size": 64}),
    ],
)
def test_architecture_that_cannot_be_packed_is_padded(kind: str, more: dict[str, Any]) -> None:
    model = model_of(kind, **more)
    before = model.config._attn_implementation
    assert not use_packing(model, 16)
    assert model.config._attn_implementation == before


def test_held_out_loss_is_the_same_packed_or_padded() -> None:
    model = model_of("llama")
    padded = held_out_loss(model, EXAMPLES, Collator(0), 1)
    assert use_packing(model, 16)
    packed = held_out_loss(model, EXAMPLES, Collator(0, packed=True), 3)
    assert packed == pytest.approx(padded, rel=2e-2)  # arithmetic is bf16
