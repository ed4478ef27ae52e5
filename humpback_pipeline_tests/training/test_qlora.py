"""QLoRA: what is asked of bitsandbytes, and a real training where it is installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from safetensors.torch import load_file

from humpback_pipeline.models import load_causal_lm, servable_directory
from humpback_pipeline.recipe import LoraRecipe, TrainingRecipe
from humpback_pipeline.training import TrainingExample, train_model
from humpback_pipeline.training.arguments import adapter_config, quantization

EXAMPLES = [
    TrainingExample(f"e{i}", tuple(range(10, 14 + i)), (*range(60 + 9 * i, 68 + 9 * i), 2))
    for i in range(8)
]
SETTINGS = TrainingRecipe(
    method="qlora",
    lora=LoraRecipe(rank=4, alpha=8, dropout=0.0),
    dropout=0.0,
    learning_rate_start=2e-2,
    learning_rate_end=1e-2,
    batch_size=8,
    steps=40,
    micro_batch_size=2,
    max_tokens=128,
)


def test_base_is_put_into_doubly_quantized_nf4_with_bf16_arithmetic() -> None:
    asked = quantization(SETTINGS)
    assert asked.load_in_4bit
    assert asked.bnb_4bit_quant_type == "nf4"
    assert asked.bnb_4bit_use_double_quant
    assert asked.bnb_4bit_compute_dtype == torch.bfloat16
    assert adapter_config(SETTINGS).r == 4
    assert quantization(SETTINGS.model_copy(update={"method": "lora"})) is None


def test_missing_library_names_its_extra(
    tiny_base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "bitsandbytes" else found(name)
    )
    with pytest.raises(ValueError, match=r"method: qlora needs bitsandbytes.*pipeline\[qlora\]"):
        train_model(tiny_base, EXAMPLES, [], SETTINGS, tmp_path / "model")


@pytest.mark.parametrize("strategy", ["fsdp2", "zero3"])
def test_quantized_base_cannot_be_shared_out(strategy: str) -> None:
    with pytest.raises(ValidationError, match="qlora cannot be shared out"):
        TrainingRecipe(method="qlora", distributed={"processes": 2, "strategy": strategy})


def test_adapter_learns_on_a_base_of_four_bits_and_is_served_on_the_whole_one(
    tiny_base: Path, tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes")
    result = train_model(tiny_base, EXAMPLES, EXAMPLES, SETTINGS, tmp_path / "model")
    assert result.loss_after < 0.6 * result.loss_before
    adapter = load_file(tmp_path / "model" / "adapter_model.safetensors")
    raised = {name for name, weight in adapter.items() if "lora_B" in name and weight.any()}
    assert len(raised) == 2 * 7, "each of the adapted layers has had gradients"
    assert {weight.dtype for weight in adapter.values()} == {torch.float32}
    served = servable_directory(tmp_path / "model", tmp_path / "cache")
    load_causal_lm(served)
