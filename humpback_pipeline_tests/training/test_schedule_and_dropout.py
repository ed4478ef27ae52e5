"""Steps between the paper's rows, the last step's learning rate, and dropout where there is one."""

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from humpback_pipeline.models.loading import load_causal_lm, set_dropout
from humpback_pipeline.training import budget_for, learning_rate_at
from humpback_pipeline.training.budget import PAPER_STEPS


@given(st.integers(1, 60_000))
def test_steps_lie_between_those_of_the_rows_around_and_batches_switch_at_3000(n: int) -> None:
    batch_size, steps = budget_for(n)
    assert batch_size == (8 if n < 3_000 else 32)
    rows = [(0, 30), *PAPER_STEPS, (10**9, 1_600)]
    (low, low_steps), (high, high_steps) = next(
        (a, b) for a, b in pairwise(rows) if a[0] <= n <= b[0]
    )
    assert min(low_steps, high_steps) <= steps <= max(low_steps, high_steps)
    # On the straight line, to the rounding of a step.
    line = low_steps + (high_steps - low_steps) * (n - low) / (high - low)
    assert steps == pytest.approx(line, abs=0.51)


@given(st.integers(2, 10_000))
def test_last_step_has_the_last_learning_rate_exactly_and_none_is_lower(total: int) -> None:
    assert learning_rate_at(total - 1, total) == 9e-6
    assert learning_rate_at(total - 2, total) > 9e-6
    assert learning_rate_at(0, total) == 1e-5


def _probabilities(model) -> dict[str, float]:
    from torch import nn

    return {name: m.p for name, m in model.named_modules() if isinstance(m, nn.Dropout)}


def test_dropout_reaches_every_dropout_of_an_architecture_that_has_them() -> None:
    from transformers import AutoModelForCausalLM, GPT2Config

    config = GPT2Config(n_layer=1, n_embd=16, n_head=2, vocab_size=50, n_positions=32)
    assert {config.resid_pdrop, config.embd_pdrop, config.attn_pdrop} == {0.1}
    set_dropout(config, 0.25)
    found = _probabilities(AutoModelForCausalLM.from_config(config))
    assert len(found) == 4  # embedding, attention, and after attention and feed-forward
    assert set(found.values()) == {0.25}


def test_dropout_of_a_llama_is_that_of_its_attention_and_no_field_is_made_up(
    tiny_base: Path,
) -> None:
    import torch

    plain, dropped = (
        load_causal_lm(tiny_base, dtype="float32", dropout=p, device="cpu") for p in (0.0, 0.5)
    )
    assert set(dropped.config.to_dict()) == set(plain.config.to_dict())
    assert not _probabilities(dropped)
    assert {layer.self_attn.attention_dropout for layer in dropped.model.layers} == {0.5}
    ids = torch.arange(3, 20).unsqueeze(0)
    with torch.no_grad():
        assert torch.equal(plain(ids).logits, dropped(ids).logits)  # none while measuring
        torch.manual_seed(0)
        plain.train(), dropped.train()
        assert not torch.allclose(plain(ids).logits, dropped(ids).logits)
