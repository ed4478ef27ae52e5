"""What of a model decides the memory its training takes; from its config alone, in a second."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training.arguments import adapter_config, naming_the_setting

# What architectures call the width between a layer's two feed-forward products.
FEED_FORWARD_FIELDS = ("intermediate_size", "n_inner", "ffn_dim", "d_ff", "ffn_hidden_size")


@dataclass(frozen=True)
class ModelShape:
    """Parameters are counted once where they are tied; widths are numbers for each token.

    n_linear: parameters of linear layers, the head left out (what QLoRA puts into 4 bits); n_layer:
    of the largest decoder layer; n_adapter: of the recipe's adapters; adapter_inputs: summed width
    of what goes into the adapted layers; query: of all heads together.
    """

    n_parameters: int
    n_linear: int
    n_layer: int
    n_adapter: int
    adapter_inputs: int
    n_layers: int
    n_heads: int
    hidden: int
    query: int
    feed_forward: int
    vocabulary: int
    has_attention_dropout: bool

    @property
    def n_head(self) -> int:
        """Parameters of the language-model head, also where they are the embeddings'."""
        return self.hidden * self.vocabulary


def model_shape(
    path: Path, settings: TrainingRecipe, *, trust_remote_code: bool = False
) -> ModelShape:
    """Shape of the model whose config.json lies in `path`, with the recipe's adapters.

    The model and its adapters are built without any memory (torch's meta device), so the counts are
    those of the library itself. Raises LookupError if the config does not name its widths, and what
    transformers raises if it cannot read it.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    text = config.get_text_config()
    hidden, n_heads = _width(text, "hidden_size"), _width(text, "num_attention_heads")
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
        n_parameters, n_linear, n_layer = _counts(model)
        n_adapter, adapter_inputs = _adapters(model, settings)
    return ModelShape(
        n_parameters=n_parameters,
        n_linear=n_linear,
        n_layer=n_layer,
        n_adapter=n_adapter,
        adapter_inputs=adapter_inputs,
        n_layers=_width(text, "num_hidden_layers"),
        n_heads=n_heads,
        hidden=hidden,
        query=n_heads * (getattr(text, "head_dim", None) or hidden // n_heads),
        feed_forward=_width(text, *FEED_FORWARD_FIELDS, otherwise=4 * hidden),
        vocabulary=_width(text, "vocab_size"),
        has_attention_dropout=hasattr(text, "attention_dropout") or hasattr(text, "attn_pdrop"),
    )


def _width(config: Any, *names: str, otherwise: int | None = None) -> int:
    for name in names:
        value = getattr(config, name, None)
        if isinstance(value, int):
            return value
    if otherwise is None:
        raise LookupError(f"config.json does not say {names[0]}")
    return otherwise


def _counts(model: Any) -> tuple[int, int, int]:
    """All parameters, those of linear layers but the head's, and the largest layer's."""
    from torch import nn

    head = model.get_output_embeddings()
    linear = [m for m in model.modules() if isinstance(m, nn.Linear) and m is not head]
    layers: Any = next((m for m in model.modules() if isinstance(m, nn.ModuleList)), [])
    return (
        sum(parameter.numel() for parameter in model.parameters()),
        sum(layer.weight.numel() for layer in linear),
        max((sum(p.numel() for p in layer.parameters()) for layer in layers), default=0),
    )


def _adapters(model: Any, settings: TrainingRecipe) -> tuple[int, int]:
    """Parameters of the recipe's adapters, and the summed width of what goes into them."""
    from peft import get_peft_model

    adapter = adapter_config(settings)
    if adapter is None:
        return 0, 0
    with naming_the_setting():
        adapted = get_peft_model(model, adapter, low_cpu_mem_usage=True)
    first = [getattr(layer, "lora_A", None) for layer in adapted.modules()]
    return (
        sum(p.numel() for p in adapted.parameters() if p.requires_grad),
        sum(a.in_features for pair in first if pair is not None for a in pair.values()),
    )
