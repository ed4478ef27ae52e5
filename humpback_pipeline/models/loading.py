"""Loading tokenizers and models the same way for training and for generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from humpback_pipeline.chat import end_text_with_turn, ensure_chat_template
from humpback_pipeline.models.checks import check_base_model

# What architectures call their dropout probabilities; a model takes those its config has.
DROPOUT_FIELDS = (
    "attention_dropout",
    "resid_pdrop",
    "embd_pdrop",
    "attn_pdrop",
    "hidden_dropout",
    "dropout",
    "ffn_dropout",
    "residual_dropout",
    "embedding_dropout",
)


def load_tokenizer(path: Path | str, *, trust_remote_code: bool = False) -> Any:
    """Tokenizer of a model or adapter directory, with a chat template and a padding token.

    A base model's missing template becomes the plain one; the token that ends a turn is the
    end-of-sequence token; a missing padding token becomes that one too, which is safe because
    padding is masked by position, not by token.
    """
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(Path(path), trust_remote_code=trust_remote_code)
    ensure_chat_template(tokenizer)
    end_text_with_turn(tokenizer)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def load_causal_lm(
    path: Path | str,
    *,
    dtype: str = "bfloat16",
    dropout: float | None = None,
    device: str | None = None,
    distributed_config: Any = None,
    quantization: Any = None,
    trust_remote_code: bool = False,
) -> Any:
    """The model in `path`, in evaluation mode, on `device` (default: a GPU if there is one).

    `dropout` replaces the probabilities of every dropout its architecture has. With transformers'
    `distributed_config` each process of a group loads its part alone, where that is to be; with a
    `quantization` (BitsAndBytesConfig) it is put into few bits while loading. Raises BaseModelError
    for a directory that is no full model, such as an adapter.
    """
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    check_base_model(Path(path), trust_remote_code=trust_remote_code)
    config = AutoConfig.from_pretrained(Path(path), trust_remote_code=trust_remote_code)
    if dropout is not None:
        set_dropout(config, dropout)
    options: dict[str, Any] = {}
    if distributed_config is not None:
        options["distributed_config"] = distributed_config
    if quantization is not None:  # goes to its device as it is loaded, never there in full
        here = torch.cuda.current_device() if torch.cuda.is_available() else "cpu"
        options |= {"quantization_config": quantization, "device_map": {"": device or here}}
    model = AutoModelForCausalLM.from_pretrained(
        Path(path),
        config=config,
        dtype=getattr(torch, dtype),
        use_safetensors=True,
        trust_remote_code=trust_remote_code,
        **options,
    )
    if quantization is not None:
        _keep_trainable(model)
    if options:
        return model.eval()
    return model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()


def _keep_trainable(model: Any) -> None:
    # On a CPU bitsandbytes repacks a 4-bit layer for inference the first time it is asked in
    # evaluation mode; gradients do not pass through it ever after.
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False


def set_dropout(config: Any, probability: float) -> None:
    """Set every dropout probability that `config` has."""
    text = config.get_text_config()
    for name in DROPOUT_FIELDS:
        if getattr(text, name, None) is not None:
            setattr(text, name, probability)


def restore_dropout(config: Any, path: Path, *, trust_remote_code: bool = False) -> None:
    """Give `config` back the dropout probabilities of the model in `path`."""
    from transformers import AutoConfig

    original = AutoConfig.from_pretrained(path, trust_remote_code=trust_remote_code)
    original = original.get_text_config()
    text = config.get_text_config()
    for name in DROPOUT_FIELDS:
        if getattr(original, name, None) is not None:
            setattr(text, name, getattr(original, name))
