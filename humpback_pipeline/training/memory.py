"""How much memory a training will take at its peak, computed before it starts.

Parameters and their companions are counted to the byte, activations by what autograd keeps of a
Llama-like layer, all as if at their largest at once. docs/training.md compares it with real
trainings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training.model_shape import ModelShape

Device = Literal["cpu", "cuda"]
States = tuple[int, int, int]
GIB = 1 << 30
# NF4 with double quantization: 4 bits, an 8-bit scale for 64 of them, a 32-bit one for 256 of those
# (Dettmers et al., 2023, section 3).
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
MASTER, BF16, MOMENTS = 4, 2, 8
# DeepSpeed's own defaults: numbers gathered at once, numbers reduced at once, step's share.
ZERO3_LIVE, ZERO3_BUCKET, ZERO3_SUBGROUP = 1_000_000_000, 500_000_000, 1_000_000_000
# Of a process on a CPU: torch, transformers, TRL and PEFT, as measured. Of one on a GPU: its
# context, cuBLAS's workspaces and the allocator's gaps, as usually seen.
LIBRARIES_BYTES: dict[Device, int] = {"cpu": 900 << 20, "cuda": 1 << 30}
# Of a logit at the peak: its bf16 and float32 forms, its log-softmax and the gradients of these in
# training; without gradients; and of a hidden number, where TRL's fused head keeps no logits.
LOGIT_BYTES, MEASURED_LOGIT_BYTES, FUSED_HIDDEN_BYTES = 14, 10, 8
# Attention with dropout on a CPU keeps each head's scores: softmax, mask, and what is left of it.
SCORE_BYTES = 12


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes on each device at the peak; `host`: of the machine's memory, all processes together.

    copies: what is held twice, such as bf16 copies that autocast computes with, gathered layers,
    DDP's buckets; head: logits and what their loss needs; libraries: everything but tensors.
    """

    weights: int
    gradients: int
    optimizer: int
    copies: int
    activations: int
    head: int
    libraries: int
    host: int
    n_trainable: int

    @property
    def total(self) -> int:
        """Bytes of one device."""
        return sum(self.parts().values())

    def parts(self) -> dict[str, int]:
        """Part in plain words → bytes of one device, in the order of a training."""
        return {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer's moments": self.optimizer,
            "copies to compute with": self.copies,
            "activations": self.activations,
            "logits and loss": self.head,
            "libraries": self.libraries,
        }

    def largest(self) -> tuple[str, int]:
        """The part that takes most, and its bytes."""
        return max(self.parts().items(), key=lambda part: part[1])

    def table(self) -> str:
        """One line a part, in GiB."""
        rows = [*self.parts().items(), ("together, on each device", self.total)]
        if self.host:
            rows.append(("in the machine's memory, offloaded", self.host))
        return "\n".join(f"  {name:<36}{in_gib(size):>12}" for name, size in rows)


def estimate_memory(
    shape: ModelShape,
    settings: TrainingRecipe,
    device: Device = "cuda",
    *,
    longest_tokens: int | None = None,
) -> MemoryEstimate:
    """Memory that a training of `shape` by the recipe takes at its peak.

    `longest_tokens`: of the longest example, where it is known; else `training.max_tokens`. On a
    GPU, attention that needs no memory for scores (SDPA) is taken for granted.
    """
    full = settings.method == "full"
    n_trainable = shape.n_parameters if full else shape.n_adapter
    tokens = min(longest_tokens or settings.max_tokens, settings.max_tokens)
    states, host = _states(shape, settings, n_trainable), 0
    if settings.distributed.cpu_offload and device == "cuda":
        states, host = _offloaded(states, settings, n_trainable)
    weights, gradients, optimizer = states
    copies = _copies(shape, settings, n_trainable)
    activations = _activations(shape, settings, device, tokens)
    return MemoryEstimate(
        weights=weights,
        gradients=gradients,
        optimizer=optimizer,
        copies=copies,
        activations=activations,
        head=_head(shape, settings, device, tokens, activations),
        libraries=LIBRARIES_BYTES[device],
        host=host,
        n_trainable=n_trainable,
    )


def in_gib(size: int) -> str:
    """A size in words: `12.3 GiB`."""
    return f"{size / GIB:,.2f} GiB" if size < 10 * GIB else f"{size / GIB:,.1f} GiB"


def _states(shape: ModelShape, settings: TrainingRecipe, n_trainable: int) -> States:
    """Bytes of weights, gradients and optimizer for each device, offloaded or not."""
    n_frozen = 0 if settings.method == "full" else shape.n_parameters
    n, zero3 = settings.distributed.processes, settings.distributed.strategy == "zero3"
    frozen = BF16 * n_frozen
    if settings.method == "qlora":
        frozen = round(NF4_BYTES * shape.n_linear) + BF16 * (n_frozen - shape.n_linear)
    if zero3:  # bf16 parameters and gradients; float32 ones are the optimizer's
        share = -(-n_trainable // n)
        step = 4 * min(ZERO3_SUBGROUP, share)
        return frozen // n + BF16 * share, BF16 * share + step, (MASTER + MOMENTS) * share
    # Of FSDP2's model the base is shared out; adapters, put on afterwards, are whole in each.
    parts = n if settings.distributed.strategy == "fsdp2" else 1
    share = -(-n_trainable // parts) if settings.method == "full" else n_trainable
    return frozen // parts + MASTER * share, MASTER * share, MOMENTS * share


def _offloaded(states: States, settings: TrainingRecipe, n_trainable: int) -> tuple[States, int]:
    """What of `states` stays on the device, and what all processes put into the machine's."""
    adapters_stay = settings.method != "full" and settings.distributed.strategy == "fsdp2"
    n = n_trainable if adapters_stay else 0
    stay = (MASTER * n, MASTER * n, MOMENTS * n)
    return stay, (sum(states) - sum(stay)) * settings.distributed.processes


def _copies(shape: ModelShape, settings: TrainingRecipe, n_trainable: int) -> int:
    full, strategy = settings.method == "full", settings.distributed.strategy
    if strategy == "zero3":
        return BF16 * (min(ZERO3_LIVE, shape.n_parameters) + 2 * min(ZERO3_BUCKET, n_trainable))
    if strategy == "fsdp2":
        # Two layers gathered, one ahead; embeddings and head stay so; gradients before they are
        # shared out, in bf16 and in float32.
        gathered = BF16 * (2 * shape.n_layer + 2 * shape.n_head)
        return gathered + ((BF16 + 4) * max(shape.n_layer, shape.n_head) if full else 0)
    buckets = 4 * n_trainable if strategy == "ddp" else 0
    if full:  # autocast keeps the bf16 form of each matrix until the forward pass ends
        return buckets + BF16 * (shape.n_linear + shape.n_head)
    # 4-bit matrices are put into bf16 one at a time, those of a layer's products.
    unpacked = BF16 * shape.n_layer if settings.method == "qlora" else 0
    return buckets + BF16 * n_trainable + unpacked


def _activations(shape: ModelShape, settings: TrainingRecipe, device: Device, tokens: int) -> int:
    rows = settings.micro_batch_size
    # Under autocast alone float32 weights make the residual stream float32.
    whole = settings.distributed.strategy in ("none", "ddp")
    stream = 4 if settings.method == "full" and whole else 2
    layer = rows * tokens * _token_bytes(shape, settings, device, stream)
    if device == "cpu" and settings.dropout > 0 and shape.has_attention_dropout:
        layer += rows * shape.n_heads * tokens * tokens * SCORE_BYTES
    if not settings.gradient_checkpointing:
        return shape.n_layers * layer
    return rows * tokens * shape.n_layers * stream * shape.hidden + layer


def _token_bytes(shape: ModelShape, settings: TrainingRecipe, device: Device, stream: int) -> int:
    """Bytes autograd keeps of a token in a layer: RMSNorm, rotary, SDPA, gated feed-forward."""
    hidden, query, wide = shape.hidden, shape.query, shape.feed_forward
    attention = 8 * query  # queries, keys and values repeated for each head, and the result
    if settings.method == "full":
        # Twice a norm's input and output; autocast casts the inputs of five products one by one.
        norms = (16 + 10 if stream == 4 else 12 + 4) * hidden
        return norms + attention + 2 * query + 8 * wide
    adapter_inputs = shape.adapter_inputs // shape.n_layers
    # An adapter's input after dropout, and dropout's mask: bits in bytes, on a CPU in bf16.
    mask = 0 if settings.lora.dropout == 0 else (2 if device == "cpu" else 1)
    return 8 * hidden + attention + 6 * wide + (2 + mask) * adapter_inputs


def _head(
    shape: ModelShape, settings: TrainingRecipe, device: Device, tokens: int, activations: int
) -> int:
    """Of a training step, or what the held-out loss, without activations, takes beyond it."""
    tokens *= settings.micro_batch_size
    measured = MEASURED_LOGIT_BYTES * tokens * shape.vocabulary
    if device == "cpu":
        return max(LOGIT_BYTES * tokens * shape.vocabulary, measured - activations)
    # The fused head makes its weight's gradient anew in each micro-batch, in float32.
    gradient = 4 * shape.n_head if settings.method == "full" else 0
    return max(FUSED_HIDDEN_BYTES * tokens * shape.hidden + gradient, measured - activations)
