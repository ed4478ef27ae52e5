"""Adapters' dropout on a CPU: other random numbers, and nothing else that differs."""

from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from humpback_pipeline.models import load_causal_lm
from humpback_pipeline.training.dropout import hasten_adapter_dropout


def adapted(base: Path, dropout: float):
    model = load_causal_lm(base, dtype="float32", dropout=0.0, device="cpu")
    torch.manual_seed(0)
    targets = ["q_proj", "down_proj"]
    config = LoraConfig(r=2, lora_dropout=dropout, target_modules=targets, task_type="CAUSAL_LM")
    return get_peft_model(model, config)


def dropouts(model) -> list[nn.Module]:
    return [
        dropout
        for layer in model.modules()
        if isinstance(getattr(layer, "lora_dropout", None), nn.ModuleDict)
        for dropout in layer.lora_dropout.values()
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("p", [0.1, 0.5])
def test_numbers_are_dropped_with_that_probability_and_the_rest_scaled(
    tiny_base: Path, p: float, dtype: torch.dtype
) -> None:
    model = adapted(tiny_base, p)
    assert hasten_adapter_dropout(model) == len(dropouts(model)) == 4
    dropout = dropouts(model.train())[0]
    ones = torch.ones(257, 1_001, dtype=dtype, requires_grad=True)
    torch.manual_seed(0)
    out = dropout(ones)
    share = float((out == 0).float().mean())
    # Four standard errors of a quarter of a million throws.
    assert abs(share - p) < 4 * (p * (1 - p) / ones.numel()) ** 0.5
    kept = out[out != 0].float()
    assert torch.allclose(kept, torch.full_like(kept, 1 / (1 - p)), rtol=4e-3)
    # Neighbours fall alone: those of one draw of random bits too.
    both = float(((out == 0)[:, 1:] & (out == 0)[:, :-1]).float().mean())
    assert both == pytest.approx(p * p, abs=0.003)
    # The gradient goes where the number went.
    out.sum().backward()
    assert torch.equal(ones.grad, out.detach())
    torch.manual_seed(0)
    assert torch.equal(dropout(ones), out)  # seeded by torch, and so resumed with it
    assert not torch.equal(dropout(ones), out)


def test_evaluation_and_weights_are_untouched(tiny_base: Path) -> None:
    plain, hastened = adapted(tiny_base, 0.3), adapted(tiny_base, 0.3)
    hasten_adapter_dropout(hastened)
    assert {name: value.shape for name, value in plain.state_dict().items()} == {
        name: value.shape for name, value in hastened.state_dict().items()
    }
    ids = torch.arange(3, 30).unsqueeze(0)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(plain.eval()(ids).logits, hastened.eval()(ids).logits)
    # Without autocast, as when a model under training writes samples, over a base in bf16.
    with torch.no_grad():
        for model in (plain, hastened):
            model.get_base_model().to(torch.bfloat16)
            for name, weight in model.named_parameters():
                if "lora_" in name:
                    weight.data = weight.data.float()
        assert torch.equal(plain(ids).logits, hastened(ids).logits)


def test_adapter_without_dropout_and_full_model_stay_as_they_are(tiny_base: Path) -> None:
    assert hasten_adapter_dropout(adapted(tiny_base, 0.0)) == 0
    assert hasten_adapter_dropout(load_causal_lm(tiny_base, device="cpu")) == 0
