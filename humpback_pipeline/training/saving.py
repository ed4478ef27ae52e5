"""The model directory: weights, tokenizer, chat template, training.json and a card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from humpback_pipeline.models.loading import restore_dropout
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.storage import write_json_atomic, write_text_atomic
from humpback_pipeline.training import ranks
from humpback_pipeline.training.card import CARD, model_card
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
    mixture: Mapping[str, Mapping[str, float]] | None = None,
) -> None:
    """Write `model` into `folder`, an adapter or a full model in the base's own precision.

    Every process of a training calls it; one writes. `gathered`: the weights, where `model` itself
    does not hold them (DeepSpeed). `mixture` (see Mixture.facts) goes into the card.
    """
    restore_dropout(model.config, base, trust_remote_code=trust_remote_code)
    _write_weights(model, settings, folder, _base_dtype(base, trust_remote_code), gathered)
    if not ranks.is_main():
        return
    tokenizer.save_pretrained(folder)
    facts = {"recipe": settings.model_dump(mode="json"), "base": identity, **result.as_dict()}
    write_json_atomic(folder / TRAINING_FACTS, facts)
    write_text_atomic(folder / CARD, model_card(settings, result, identity, base, mixture or {}))


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
