"""Several examples in one row, without padding, none of which sees another.

TRL's collator lays examples end to end (`padding_free`) and says where each begins. FlashAttention
takes that as it is. Elsewhere transformers would mask the square of the whole row, so that the cost
of attention grew with the row; `packed_sdpa` runs PyTorch's attention for each example instead.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from typing import Any

# Name under which transformers knows `packed_sdpa`.
PACKED_SDPA = "packed_sdpa"
FLASH = "flash_attention_2"
# Kinds of layers in which an example sees nothing of its neighbour, given where it begins.
_ATTENTION_LAYERS = {"full_attention", "sliding_attention"}


def use_packing(model: Any, longest_tokens: int) -> bool:
    """Have `model` take packed rows of examples up to `longest_tokens`; False if it cannot.

    It can if it has no layer that passes something on along the row in another way than attention,
    as state-space layers do, and if each of its layers tells PyTorch's attention where the examples
    begin: some architectures lose that on the way, so one packed row is tried.
    """
    if uses_packing(model):
        return True
    # DeepSpeed leaves empty shells to try a row on. FSDP2 takes the first forward pass for that of
    # the whole model: adapters that are put on after it would keep gradients of their own.
    whole = next(model.parameters()).numel() > 0 and not hasattr(model, "reshard")
    if not (
        whole
        and getattr(model, "_supports_attention_backend", False)
        and model.config._attn_implementation == "sdpa"
        and _has_only_attention(model.config.get_text_config(), longest_tokens)
    ):
        return False
    _register(packed_sdpa)
    model.set_attn_implementation(PACKED_SDPA)
    if not _reaches_every_layer(model):
        model.set_attn_implementation("sdpa")
        return False
    if _can_flash(model):
        with contextlib.suppress(ImportError, ValueError):
            model.set_attn_implementation(FLASH)
    return True


def uses_packing(model: Any) -> bool:
    """Whether `model` takes packed rows."""
    return model.config._attn_implementation in (PACKED_SDPA, FLASH)


def packed_sdpa(
    module: Any,
    query: Any,
    key: Any,
    value: Any,
    attention_mask: Any,
    *,
    cu_seq_lens_q: Any = None,
    **options: Any,
) -> tuple[Any, None]:
    """PyTorch's attention, for each example of a packed row alone.

    query: [1, heads, tokens, size]; key and value likewise, with their own number of heads.
    cu_seq_lens_q: [examples + 1], where each begins and the last ends; without it the row is not
    packed, as in generation. Returns [1, tokens, heads, size], and no weights.
    """
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if cu_seq_lens_q is None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **options)
    ends = cu_seq_lens_q.tolist()
    outputs = []
    for start, end in itertools.pairwise(ends):
        part = (slice(None), slice(None), slice(start, end))
        own = sdpa_attention_forward(module, query[part], key[part], value[part], None, **options)
        outputs.append(own[0])
    return (outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=1)), None


def _register(attention: Any) -> None:
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(PACKED_SDPA, attention)
    AttentionMaskInterface.register(PACKED_SDPA, _mask)


def _reaches_every_layer(model: Any) -> bool:
    """Whether each layer's attention is told where the examples of a packed row begin."""
    import torch

    told: dict[int, bool] = {}

    def recording(module: Any, *states: Any, cu_seq_lens_q: Any = None, **options: Any) -> Any:
        told[id(module)] = told.get(id(module), True) and cu_seq_lens_q is not None
        return packed_sdpa(module, *states, cu_seq_lens_q=cu_seq_lens_q, **options)

    device, was_training = next(model.parameters()).device, model.training
    ends = torch.tensor([0, 2, 4], dtype=torch.int32, device=device)
    row = {
        "input_ids": torch.zeros(1, 4, dtype=torch.long, device=device),
        "position_ids": torch.tensor([[0, 1, 0, 1]], device=device),
    }
    _register(recording)
    model.eval()
    try:
        with torch.no_grad():
            model(**row, use_cache=False, cu_seq_lens_q=ends, cu_seq_lens_k=ends,
                  max_length_q=2, max_length_k=2)  # fmt: skip
    finally:
        model.train(was_training)
        _register(packed_sdpa)
    return all(told.values()) and len(told) == model.config.get_text_config().num_hidden_layers


def _can_flash(model: Any) -> bool:
    import torch
    from transformers.utils import is_flash_attn_2_available

    return (
        next(model.parameters()).device.type == "cuda"
        and model.dtype == torch.bfloat16
        and getattr(model, "_supports_flash_attn", False)
        and is_flash_attn_2_available()
        and torch.cuda.get_device_capability() >= (8, 0)
    )


def _mask(**about: Any) -> Any:
    """No mask of a row without padding; SDPA's own for everything else, such as generation."""
    from transformers.masking_utils import sdpa_mask

    unpadded = about.get("attention_mask") is None and about["batch_size"] == 1
    if unpadded and about["q_length"] == about["kv_length"]:
        return None
    return sdpa_mask(**about)


def _has_only_attention(config: Any, longest_tokens: int) -> bool:
    if not set(getattr(config, "layer_types", None) or []) <= _ATTENTION_LAYERS:
        return False
    # What is beyond a window is hidden by a mask, and there is none.
    window = getattr(config, "sliding_window", None)
    return window is None or window >= longest_tokens


def to_device(batch: Mapping[str, Any], device: Any) -> dict[str, Any]:
    """The batch with its tensors on `device`; the longest length in it is a number."""
    return {
        name: value.to(device) if hasattr(value, "to") else value for name, value in batch.items()
    }
