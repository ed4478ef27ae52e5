"""The model card: what a model is, what it was trained on, how, and how well that went."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training.result import TrainingResult

CARD = "README.md"
TAGS = ("humpback", "instruction-backtranslation")
UNKNOWN_LICENCE = "that of its base, which names none here"
IDENTIFIER = re.compile(r"[A-Za-z0-9.+-]{1,60}")
logger = logging.getLogger(__name__)


def model_card(
    settings: TrainingRecipe,
    result: TrainingResult,
    identity: Mapping[str, Any],
    base: Path,
    mixture: Mapping[str, Mapping[str, float]],
) -> str:
    """Markdown with the Hub's metadata at its top.

    `identity` says what the base is (`BaseModel.facts`), `base` is its folder, whose own card may
    name its licence; `mixture` is what `Mixture.facts` says, or empty.
    """
    from huggingface_hub import ModelCardData

    licence = base_licence(base)
    lora, spec = settings.method != "full", str(identity["spec"])
    # A folder or a wheel is nobody else's name for it.
    base_model = spec.removeprefix("hf:").partition("@")[0] if spec.startswith("hf:") else None
    relation: dict[str, Any] = {}
    if base_model is not None:
        relation["base_model_relation"] = "adapter" if lora else "finetune"
    metadata = ModelCardData(
        license=licence,
        base_model=base_model,
        library_name="peft" if lora else "transformers",
        pipeline_tag="text-generation",
        tags=list(TAGS),
        **relation,
    )
    kind = "a LoRA adapter" if lora else "a full model"
    recipe = yaml.safe_dump(settings.shaping(), sort_keys=False)
    return f"""---
{metadata.to_yaml()}
---
# A model finetuned by humpback_pipeline

This is {kind} of `{public_name(spec)}` (content hash `{identity["content_hash"][:16]}`), finetuned
with loss on the output tokens only, as in "Self-Alignment with Instruction Backtranslation"
(arXiv 2308.06259).

| | |
|---|---|
{_rows(settings, result, licence)}
{_mixture(mixture)}
## Recipe

```yaml
{recipe}```

`training.json` holds all settings, the loss curves, samples of its output and library versions. It
inherits the limits and the licence of its base and of the data it was trained on.
"""


def public_name(spec: str) -> str:
    """What others may call the base: of a folder or a file, its name and not where it lies here."""
    return spec if spec.startswith(("hf:", "wheel:")) else Path(spec).name


def base_licence(base: Path) -> str | None:
    """The licence that the base's own card names by identifier; None if there is none."""
    from huggingface_hub import ModelCard

    if not (base / CARD).is_file():
        return None
    try:
        licence = ModelCard.load(base / CARD, ignore_metadata_errors=True).data.license
    except (ValueError, OSError, yaml.YAMLError) as error:
        logger.info("the licence of the base is not known: %s: %s", base / CARD, error)
        return None
    # It is shown as Markdown: an identifier, and nothing else that somebody may have written there.
    return licence if isinstance(licence, str) and IDENTIFIER.fullmatch(licence) else None


def _rows(settings: TrainingRecipe, result: TrainingResult, licence: str | None) -> str:
    held_out = "no held-out examples"
    if result.loss_before is not None and result.loss_after is not None:
        held_out = (
            f"{result.loss_before:.4f} before, {result.loss_after:.4f} after "
            f"({result.n_held_out} examples)"
        )
    losses = [loss for _, loss, _ in result.train_curve]
    used = "unknown" if result.utilisation is None else f"{result.utilisation:.1%}"
    rows = {
        "examples": f"{result.n_examples:,} ({result.n_truncated:,} cut at "
        f"{settings.max_tokens:,} tokens)",
        "steps × batch": f"{result.steps:,} × {result.batch_size:,}",
        "learning rate": f"{settings.learning_rate_start:g} to {settings.learning_rate_end:g}, "
        "linear",
        "held-out loss, nats per token": held_out,
        "training loss": f"{losses[0]:.4f} at the first step, {losses[-1]:.4f} at the last"
        if losses
        else "none",
        "weights kept": f"those after step {result.kept_step:,} of {result.steps:,}",
        "tokens trained on": f"{result.n_tokens:,} ({result.n_completion_tokens:,} with loss)",
        "SHA-256 of the examples": f"`{result.examples_sha256}`",
        "SHA-256 of the held-out examples": f"`{result.held_out_sha256}`",
        "hardware": f"{result.hardware['device_name']}, {result.tokens_per_s:,.0f} tokens/s, "
        f"{result.peak_memory_bytes / 1e9:.1f} GB at most, FLOP utilisation {used}",
        "licence": licence or UNKNOWN_LICENCE,
    }
    return "\n".join(f"| {name} | {value} |" for name, value in rows.items())


def _mixture(mixture: Mapping[str, Mapping[str, float]]) -> str:
    if not mixture:
        return ""
    lines = [
        f"| {origin} | {part['examples']:,.0f} | {part['uses']:,.0f} | {part['share']:.1%} |"
        for origin, part in mixture.items()
    ]
    head = ["| origin | examples | uses an epoch | share |", "|---|---:|---:|---:|"]
    return "\n".join(["", "## Mixture", "", *head, *lines, ""])
