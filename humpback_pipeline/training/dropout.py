"""Dropout of LoRA adapters on a CPU, where drawing its masks is a sixth of all training time."""

from __future__ import annotations

from functools import cache
from typing import Any

from humpback_pipeline.training import ranks

# Random bits for each number that is kept or dropped, and numbers for each 64-bit draw.
BITS = 16
NUMBERS_A_DRAW = 64 // BITS


def hasten_adapter_dropout(model: Any) -> int:
    """Give a PEFT model on a CPU adapters whose dropout costs a fraction; return how many.

    The same dropout by other random numbers: torch draws a Bernoulli number for each activation,
    one at a time, and this takes 16 of 64 random bits (so the probability is exact to 1/65,536).
    The numbers come from torch's own generator: seeds and checkpoints hold for them too. PEFT's
    conversion of every adapter's input to the adapter's float32 is left out under autocast, where
    the next operation would undo it.
    """
    from torch import nn

    if ranks.device_of(model).type != "cpu":
        return 0
    n = 0
    for layer in model.modules():
        dropouts = getattr(layer, "lora_dropout", None)
        if not isinstance(dropouts, nn.ModuleDict):
            continue
        layer._cast_input_dtype = _cast_without_autocast
        for name, dropout in dropouts.items():
            if type(dropout) is nn.Dropout and not dropout.inplace:
                dropouts[name] = _bit_dropout()(dropout.p)
                n += 1
    return n


def _cast_without_autocast(x: Any, dtype: Any) -> Any:
    import torch

    return x if x is None or torch.is_autocast_enabled("cpu") else x.to(dtype)


@cache
def _bit_dropout() -> Any:
    """The module's class; torch is not imported before it is needed."""
    import torch
    from torch import nn

    class BitDropout(nn.Dropout):
        """nn.Dropout in all but the random numbers it draws."""

        def forward(self, input: Any) -> Any:
            """`input`, each number 0 with probability p, else divided by 1 - p."""
            if not self.training or self.p == 0.0:
                return input
            n = input.numel()
            draws = torch.empty(-(-n // NUMBERS_A_DRAW), dtype=torch.int64)
            numbers = draws.random_(-(2**63), None).view(torch.int16)[:n]
            threshold = round(self.p * 2**BITS)
            kept = numbers >= threshold - 2 ** (BITS - 1)
            scale = kept.to(input.dtype).mul_(2**BITS / max(1, 2**BITS - threshold))
            return input * scale.view_as(input)

    return BitDropout
