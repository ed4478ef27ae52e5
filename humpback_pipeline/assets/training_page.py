"""What a trained model's page shows: losses, speed, mixture, samples, its card."""

import re
import shlex
from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets import sparklines
from humpback_pipeline.assets.metadata import counts_table, plot, sample_table
from humpback_pipeline.evaluation.plots import loss_curve
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.carrying import CARRIED_FROM
from humpback_pipeline.storage import Manifest
from humpback_pipeline.training.card import CARD

SAMPLE_COLUMNS = ["prompt", "expected", "before", "after"]
SAMPLE_CHARS = 400
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)


def training_metadata(workspace: Workspace, manifest: Manifest, title: str) -> dict[str, Any]:
    """Metadata of a trained model, to be put before what every version's page shows."""
    facts = manifest.facts
    return {
        **_losses(facts, title),
        "mixture": counts_table(facts["mixture"], "examples"),
        "mixture_uses": _mixture_table(facts["mixture_uses"]),
        "kept_step": facts["kept_step"],
        **({"resumed_at_steps": str(facts["resumed_at"])} if facts["resumed_at"] else {}),
        "steps": facts["steps"],
        "batch_size": facts["batch_size"],
        **_speed(facts),
        "examples_cut": facts["n_truncated"],
        "examples_dropped": counts_table(facts["examples_dropped"]),
        "held_out_dropped": counts_table(facts.get("held_out_dropped", {})),
        **_samples(facts.get("samples") or [], facts.get("samples_left_out") or ""),
        **_files(workspace, manifest),
    }


def carried_metadata(manifest: Manifest, context: dg.AssetExecutionContext) -> dict[str, Any]:
    """Which model this is a copy of, if iterating has ended; the run's log says so as well."""
    source = manifest.facts.get(CARRIED_FROM)
    if not source:
        return {}
    context.log.info(f"iterating has ended: {source} is carried on, nothing was trained")
    return {CARRIED_FROM: source}


def _losses(facts: Mapping[str, Any], title: str) -> dict[str, Any]:
    # A manifest read back has null where a loss was not a number.
    steps = [(step, loss) for step, loss, _ in facts["train_curve"] if loss is not None]
    held_out = [(step, loss) for step, loss in facts["held_out_curve"] if loss is not None]
    curve = loss_curve(steps, held_out, title=title)
    losses = {
        "held_out_loss_before": facts["loss_before"],
        "held_out_loss_after": facts["loss_after"],
    }
    return {
        **{name: round(loss, 4) for name, loss in losses.items() if loss is not None},
        "loss_curve": sparklines.line([loss for _, loss in steps], f"training loss of {title}"),
        "loss_curve_large": plot(curve, f"loss of {title} over its training steps"),
    }


def _speed(facts: Mapping[str, Any]) -> dict[str, Any]:
    # Models of an earlier version have no figures of arithmetic.
    flops_per_s, utilisation = facts.get("model_flops_per_s"), facts.get("utilisation")
    return {
        "tokens": facts["n_tokens"],
        "tokens_per_s": round(facts["tokens_per_s"], 1),
        "training_s": round(facts["training_s"], 1),
        "peak_memory_mb": round(facts["peak_memory_bytes"] / 1e6),
        **({"model_tflops_per_s": round(flops_per_s / 1e12, 4)} if flops_per_s else {}),
        **({"flop_utilisation": round(utilisation, 4)} if utilisation else {}),
    }


def _mixture_table(uses: Mapping[str, Mapping[str, float]]) -> dg.MetadataValue:
    """By origin: examples, how often they are used in an epoch, and their share of it."""
    rows = [
        {"origin": origin, **{k: round(v, 3) for k, v in part.items()}}
        for origin, part in uses.items()
    ]
    return dg.MetadataValue.md(render_markdown_table(pl.DataFrame(rows)))


def _samples(samples: list[dict[str, str]], left_out: str) -> dict[str, Any]:
    """A table as long as the UI shows at once, and one with all that was kept; or why none is."""
    if not samples:
        return {"samples": left_out} if left_out else {}
    frame = pl.DataFrame(samples).select(SAMPLE_COLUMNS)
    whole = render_markdown_table(frame, max_chars=SAMPLE_CHARS)
    return {
        "samples": sample_table(frame, SAMPLE_COLUMNS),
        "samples_whole": dg.MetadataValue.md(whole),
    }


def _files(workspace: Workspace, manifest: Manifest) -> dict[str, Any]:
    """The card, and where TensorBoard finds the event files."""
    files: dict[str, Any] = {}
    card = workspace.home / "models" / manifest.key / manifest.version / CARD
    if card.is_file():
        text = FRONT_MATTER.sub("", card.read_text(encoding="utf-8"))
        files["model_card"] = dg.MetadataValue.md(text)
    logs = manifest.facts.get("tensorboard")
    if logs is not None and (workspace.home / logs).is_dir():
        folder = str((workspace.home / logs).absolute())
        files["tensorboard"] = dg.MetadataValue.path(folder)
        command = f"tensorboard --logdir {shlex.quote(folder)}"
        files["tensorboard_command"] = dg.MetadataValue.md(f"`{command}`")
    return files
