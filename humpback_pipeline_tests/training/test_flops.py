"""The arithmetic that a training is said to do, and the share of the device's peak that it is."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from humpback_pipeline.models import load_causal_lm
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training import TrainingExample, train_model
from humpback_pipeline.training.arguments import adapter_config
from humpback_pipeline.training.flops import TrainingFlops, count_flops, peak_flops_per_s

N_TOKENS = 200
EXAMPLES = [TrainingExample(f"e{i}", (5, 6, 7), tuple(range(60, 70 + i))) for i in range(4)]


def adapted(base: Path, settings: TrainingRecipe) -> object:
    from peft import get_peft_model

    return get_peft_model(load_causal_lm(base, dtype="float32"), adapter_config(settings))


@pytest.mark.parametrize("method", ["full", "lora"])
def test_operations_are_those_that_torch_counts(
    method: str, tiny_base: Path, settings: TrainingRecipe
) -> None:
    model = (
        adapted(tiny_base, settings)
        if method == "lora"
        else load_causal_lm(tiny_base, dtype="float32")
    )
    model.set_attn_implementation("eager")  # the counter looks into it
    ids = torch.arange(N_TOKENS)[None] + 20
    with FlopCounterMode(display=False) as counter:
        model(input_ids=ids, labels=ids).loss.backward()
    # All tokens have logits here, so all count as a completion's.
    estimated = count_flops(model).of([(N_TOKENS, N_TOKENS)])
    # What is left is the first layer, whose input needs no gradient of frozen embeddings.
    assert estimated == pytest.approx(counter.get_total_flops(), rel=0.04)


def test_frozen_weights_cost_four_and_the_head_only_where_there_is_loss(
    tiny_base: Path, settings: TrainingRecipe
) -> None:
    full = count_flops(load_causal_lm(tiny_base))
    lora = count_flops(adapted(tiny_base, settings))
    blocks, head = full.per_token / 6, full.per_completion_token / 6
    assert head == 320 * 32
    added = lora.per_token - 4 * blocks
    assert 0 < added < full.per_token
    assert added % 6 == 0
    assert lora.per_completion_token == 4 * head
    assert full.per_token_pair == lora.per_token_pair == 12 * 2 * 32
    flops = TrainingFlops(6.0, 60.0, 2.0)
    assert flops.of([(10, 0)]) == 6 * 10 + 2 * 100
    assert flops.of([(10, 3), (5, 5)]) == flops.of([(10, 3)]) + flops.of([(5, 5)])


def test_experts_count_as_many_as_a_token_is_sent_to() -> None:
    from transformers import MixtralConfig, MixtralForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "vocab_size": 64}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 2}
    counts = {
        chosen: count_flops(
            MixtralForCausalLM(
                MixtralConfig(num_local_experts=8, num_experts_per_tok=chosen, **sizes, **heads)
            )
        ).per_token
        for chosen in (1, 2, 8)
    }
    of_one = 6 * 3 * 16 * 32
    assert counts[2] - counts[1] == of_one
    assert counts[8] - counts[1] == 7 * of_one


def test_utilisation_is_the_share_of_a_measured_peak(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    result = train_model(tiny_base, EXAMPLES, [], settings, tmp_path / "model")
    peak = peak_flops_per_s()
    assert peak == result.peak_flops_per_s
    assert peak is not None
    assert peak > 1e8
    assert result.model_flops == pytest.approx(result.model_flops_per_s * result.training_s)
    assert result.utilisation == pytest.approx(result.model_flops_per_s / peak)
    assert 0 < result.utilisation < 1
    longer = settings.model_copy(update={"steps": 12})
    twice = train_model(tiny_base, EXAMPLES, [], longer, tmp_path / "longer")
    assert twice.model_flops == pytest.approx(2 * result.model_flops)


def test_unknown_gpu_has_no_utilisation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    names = {"NVIDIA A100-SXM4-80GB": 312e12, "NVIDIA H100 80GB HBM3": 989e12, "Some GPU": None}
    for name, peak in names.items():
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda *_, name=name: name)
        assert peak_flops_per_s() == peak


def test_result_is_read_back_whole(
    tiny_base: Path, settings: TrainingRecipe, tmp_path: Path
) -> None:
    settings = settings.model_copy(update={"steps": 1, "samples": 1})
    result = train_model(tiny_base, EXAMPLES, EXAMPLES[:1], settings, tmp_path / "model")
    assert len(result.samples) == 1
    assert type(result).from_dict(dataclasses.asdict(result)) == result
