"""The model directory: weights, tokenizer, chat template, training.json and a card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from humpback_pipeline.models.loading import restore_dropout
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.storage import write_json_atomic, write_text_atomic
from humpback_pipeline.training import ranks
from humpback_pipeline.training.result import TrainingResult
from humpback_pipeline.training.snapshot import is_sharded, trainable

TRAINING_FACTS = "training.json"


def save_model(
    model: Any,
    tokenizer: Any,
    base: Path,
    settings: TrainingRecipe,
    result: TrainingResult,
    folder: Path,
    identity: Mapping[str, Any],
    trust_remote_code: bool = False,
    gathered: dict[str, Any] | None = None,
) -> None:
    """Write `model` into `folder`, an adapter or a full model in the base's own precision.

    Every process of a training calls it; one writes. `gathered`: the weights, where `model` itself
    does not hold them (DeepSpeed).
    """
    restore_dropout(model.config, base, trust_remote_code=trust_remote_code)
    _write_weights(model, settings, folder, _base_dtype(base, trust_remote_code), gathered)
    if not ranks.is_main():
        return
    tokenizer.save_pretrained(folder)
    facts = {"recipe": settings.model_dump(mode="json"), "base": identity, **result.as_dict()}
    write_json_atomic(folder / TRAINING_FACTS, facts)
    write_text_atomic(folder / "README.md", _card(settings, result, identity))


def _write_weights(
    model: Any,
    settings: TrainingRecipe,
    folder: Path,
    base_dtype: Any,
    gathered: dict[str, Any] | None,
) -> None:
    if settings.distributed.strategy == "zero3":
        if ranks.is_main():
            model.save_pretrained(folder, state_dict=gathered)
    elif settings.method == "full":
        model.to(base_dtype)
        # A sharded model is gathered from all processes as it is written.
        if ranks.is_main() or is_sharded(model):
            model.save_pretrained(folder)
    elif ranks.is_main():
        # What was trained and no more: a sharded base would be gathered whole for nothing.
        weights = {name: weight.detach() for name, weight in trainable(model)}
        model.save_pretrained(folder, state_dict=weights, save_embedding_layers=False)


def _base_dtype(base: Path, trust_remote_code: bool) -> Any:
    import torch
    from transformers import AutoConfig

    dtype = AutoConfig.from_pretrained(base, trust_remote_code=trust_remote_code).dtype
    return dtype if dtype in (torch.bfloat16, torch.float16, torch.float32) else torch.bfloat16


def _card(settings: TrainingRecipe, result: TrainingResult, identity: Mapping[str, Any]) -> str:
    held_out = "no held-out examples"
    if result.loss_before is not None and result.loss_after is not None:
        held_out = (
            f"{result.loss_before:.4f} before, {result.loss_after:.4f} after "
            f"({result.n_held_out} examples)"
        )
    kind = "a LoRA adapter" if settings.method == "lora" else "a full model"
    library = "peft" if settings.method == "lora" else "transformers"
    return f"""---
library_name: {library}
pipeline_tag: text-generation
tags: [humpback, instruction-backtranslation]
---
# A model finetuned by humpback_pipeline

This is {kind} of `{identity["spec"]}` (content hash `{identity["content_hash"][:16]}`), finetuned
with loss on the output tokens only, as in "Self-Alignment with Instruction Backtranslation"
(arXiv 2308.06259).

| | |
|---|---|
| examples | {result.n_examples:,} ({result.n_truncated:,} cut at {settings.max_tokens:,} tokens) |
| steps × batch | {result.steps:,} × {result.batch_size:,} |
| learning rate | {settings.learning_rate_start:g} to {settings.learning_rate_end:g}, linear |
| held-out loss, nats per token | {held_out} |
| weights kept | those after step {result.kept_step:,} of {result.steps:,} |
| tokens trained on | {result.n_tokens:,} ({result.n_completion_tokens:,} with loss) |
| hardware | {result.hardware["device_name"]}, {result.tokens_per_s:,.0f} tokens/s |

`training.json` holds the settings, the loss curves, the data's hashes and library versions. It
inherits the limits and the licence of its base and of the data it was trained on.
"""
