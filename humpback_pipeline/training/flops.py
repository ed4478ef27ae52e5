"""Estimated arithmetic of a training, and what share of the device's peak it uses (MFU)."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

from humpback_pipeline.training import ranks

# Of a weight and a token, multiplication and addition counted: forward; gradient of the
# activations; gradient of the weight.
FORWARD, ACTIVATIONS, WEIGHTS = 2, 2, 2
MATRIX_ROWS = 1_024
MEASURE_S = 0.15  # for each precision


@dataclass(frozen=True)
class TrainingFlops:
    """Floating-point operations of forward and backward pass, by what they grow with.

    PaLM's count (Chowdhery et al., 2022, appendix B): 6 a token and trained weight, and for the
    scores of attention 12 x layers x heads x head size x length a token. A frozen weight needs no
    gradient of its own: 4. Embeddings are looked up, not multiplied. The head counts for completion
    tokens alone, as no other's logits are needed; of experts, as many as a token is sent to. What
    gradient checkpointing computes again is left out.

    per_token: of all weights but the head; per_completion_token: of the head; per_token_pair: of
    attention, for each token of an example and each token that it may look at.
    """

    per_token: float
    per_completion_token: float
    per_token_pair: float

    def of(self, lengths: Iterable[tuple[int, int]]) -> float:
        """All of a training on examples of so many (tokens, completion tokens), each as its own."""
        return math.fsum(
            self.per_token * n
            + self.per_completion_token * n_completion
            + self.per_token_pair * n * n
            for n, n_completion in lengths
        )


def count_flops(model: Any) -> TrainingFlops:
    """What a token costs `model`, wrapped by PEFT or sharded as it may be."""
    from torch import nn

    head = {id(weight) for weight in _head(model).parameters()}
    looked_up = {
        id(weight)
        for module in model.modules()
        if isinstance(module, nn.Embedding)
        for weight in module.parameters(recurse=False)
    } - head
    per_token = per_completion_token = 0.0
    config = model.config.get_text_config()
    for name, weight, shape in _matrices(model):
        flops = math.prod(shape) * (FORWARD + ACTIVATIONS + WEIGHTS * weight.requires_grad)
        if id(weight) in head:
            per_completion_token += flops
        elif id(weight) not in looked_up:
            per_token += flops * _active_share(name, config)
    return TrainingFlops(per_token, per_completion_token, _per_token_pair(config))


def peak_flops_per_s() -> float | None:
    """The peak of all devices of this training in bf16; None where it is unknown.

    A GPU's is its maker's dense figure, from TRL's table; a CPU's is measured, by the fastest of
    the larger matrix products in bf16 and float32 that it does now. Every process must call it.
    """
    import torch
    from trl.trainer.utils import get_peak_flops

    if torch.cuda.is_available():
        peak = get_peak_flops(torch.cuda.get_device_name(), "bfloat16")
        return None if peak is None else peak * ranks.n_processes()
    # Side by side, as the processes of one machine share its cores in training too.
    ranks.wait_for_all()
    return ranks.total(_measured_peak(torch.get_num_threads()))


def _head(model: Any) -> Any:
    from torch import nn

    return model.get_output_embeddings() or nn.Module()


def _matrices(model: Any) -> Iterator[tuple[str, Any, tuple[int, ...]]]:
    """Name, parameter and true shape of everything that activations are multiplied with."""
    for name, weight in model.named_parameters():
        # 4-bit weights are packed, and DeepSpeed leaves an empty shell: their true shape is noted.
        packed = getattr(getattr(weight, "quant_state", None), "shape", None)
        shape = tuple(packed or getattr(weight, "ds_shape", None) or weight.shape)
        if len(shape) >= 2:
            yield name, weight, shape


def _active_share(name: str, config: Any) -> float:
    if ".experts." not in name:
        return 1.0
    counts = (getattr(config, field, None) for field in ("num_experts", "num_local_experts"))
    n_experts = next((n for n in counts if n), None)
    chosen = getattr(config, "num_experts_per_tok", None)
    return chosen / n_experts if n_experts and chosen else 1.0


def _per_token_pair(config: Any) -> float:
    heads = getattr(config, "num_attention_heads", None)
    if not heads:  # a model without attention
        return 0.0
    head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
    # Scores and their sum over values: two products forward, and each has two gradients, whether
    # the weights around are trained or not. As in PaLM, no half is taken off for causal masks.
    products = 2 * (FORWARD + ACTIVATIONS + WEIGHTS)
    return float(products * config.num_hidden_layers * heads * head_size)


@cache
def _measured_peak(n_threads: int) -> float:
    """Operations a second of this process with its `n_threads`, by products of large matrices."""
    import torch

    best_s = math.inf
    for dtype in (torch.bfloat16, torch.float32):
        matrix = torch.full((MATRIX_ROWS, MATRIX_ROWS), 1 / MATRIX_ROWS, dtype=dtype)
        stop_s = time.monotonic() + MEASURE_S
        while time.monotonic() < stop_s:
            start_s = time.perf_counter()
            torch.mm(matrix, matrix)
            best_s = min(best_s, time.perf_counter() - start_s)
    return FORWARD * MATRIX_ROWS**3 / best_s
