"""Finetune a base model on examples and save it with everything known about the training."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from humpback_pipeline.models import load_causal_lm, load_tokenizer
from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.storage import atomic_directory, check_free_space, hash_model
from humpback_pipeline.training import ranks
from humpback_pipeline.training.arguments import check_extras, quantization, sharding
from humpback_pipeline.training.budget import Schedule, plan
from humpback_pipeline.training.checkpoints import Checkpoints, training_fingerprint
from humpback_pipeline.training.counts import count_examples, first_uses, n_distinct
from humpback_pipeline.training.events import OnEvent, ignore_event
from humpback_pipeline.training.examples import TrainingExample, hash_examples
from humpback_pipeline.training.fit import check_examples_fit
from humpback_pipeline.training.flops import peak_flops_per_s
from humpback_pipeline.training.order import training_order
from humpback_pipeline.training.result import (
    TrainingResult,
    hardware_facts,
    library_versions,
    peak_memory_bytes,
)
from humpback_pipeline.training.run import TrainingRun
from humpback_pipeline.training.saving import save_model


def train_model(
    base: Path,
    examples: Sequence[TrainingExample],
    held_out: Sequence[TrainingExample],
    settings: TrainingRecipe,
    output_dir: Path,
    *,
    base_identity: Mapping[str, Any] | None = None,
    on_progress: OnProgress = ignore_progress,
    on_event: OnEvent = ignore_event,
    stage: str = "training",
    trust_remote_code: bool = False,
    checkpoint_dir: Path | None = None,
    log_dir: Path | None = None,
    mixture: Mapping[str, Mapping[str, float]] | None = None,
) -> TrainingResult:
    """Finetune `base` on `examples` (paper section 3.1) and write the model to `output_dir`.

    `output_dir` must be new or empty; it gets a PEFT adapter or a full model, its tokenizer with
    chat template, training.json and a model card, or, on any error, nothing. `base_identity` is
    `BaseModel.facts()`. Deterministic for a given seed, device and library versions. It trains in
    this process, or, where WORLD_SIZE says so, as one of several that call this with the same
    arguments; whatever the recipe's `own_process` says.

    With a `checkpoint_dir`, a training that was killed goes on from its last checkpoint there, as
    if nothing had been; the caller removes the folder (`remove_checkpoints`) once the model is
    safe. TensorBoard's files go to `log_dir`, by default into the model's folder. `mixture`, what
    `Mixture.facts` says, is for the card alone. Raises ValueError, BaseModelError, OutOfSpaceError,
    TrainingMemoryError, TrainingDivergedError.
    """
    start_s = time.monotonic()
    if not examples:
        raise ValueError(
            "no examples to train on: every pair was dropped, or none was selected; look at the "
            "counts of the asset upstream, or loosen curation.selection"
        )
    if ranks.n_planned() != ranks.n_processes():
        raise ValueError(
            f"WORLD_SIZE says {ranks.n_planned()} processes, but torch.distributed knows of "
            f"{ranks.n_processes()}; call torch.distributed.init_process_group first"
        )
    check_extras(settings)
    # Of different examples: the paper's table knows no repeats, and they are to buy no steps.
    n_examples = n_distinct(examples)
    schedule = plan(settings, n_examples, ranks.n_planned())
    identity = _identity(base, base_identity)
    data = {"examples": hash_examples(examples), "held_out": hash_examples(held_out)}
    fingerprint = _fingerprint(data, settings, schedule, identity)
    with _output(output_dir) as folder, _scratch(folder) as scratch:
        check_free_space(folder, _needed_bytes(base, settings))
        check_examples_fit(
            base, settings, examples, n_examples, trust_remote_code=trust_remote_code
        )
        run = TrainingRun(
            examples,
            held_out,
            settings,
            schedule,
            load_tokenizer(base, trust_remote_code=trust_remote_code),
            Checkpoints((checkpoint_dir or scratch) / fingerprint),
            resumable=checkpoint_dir is not None and settings.distributed.strategy != "zero3",
            log_dir=log_dir or folder / "tensorboard",
            stage=stage,
            on_progress=on_progress,
            on_event=on_event,
        )
        trained = run.train(_load(base, settings, trust_remote_code), scratch)
        result = _result(run, time.monotonic() - start_s, data)
        save_model(
            trained,
            run.tokenizer,
            base,
            settings,
            result,
            folder,
            identity,
            trust_remote_code,
            run.gathered,
            mixture,
        )
    return result


def _identity(base: Path, base_identity: Mapping[str, Any] | None) -> dict[str, Any]:
    identity = dict(base_identity or {"spec": str(base.absolute())})
    identity.setdefault("path", str(base.absolute()))
    if "content_hash" not in identity:
        identity["content_hash"] = hash_model(base)
    return identity


def _fingerprint(
    data: Mapping[str, str],
    settings: TrainingRecipe,
    schedule: Schedule,
    identity: Mapping[str, Any],
) -> str:
    return training_fingerprint(
        {
            **data,
            "settings": settings.shaping(),
            "base": identity["content_hash"],
            "steps": schedule.steps,
            "batch_size": schedule.batch_size,
            # A sharded checkpoint can be read by as many processes only.
            "processes": schedule.world_size,
            "strategy": settings.distributed.strategy,
        }
    )


def _result(run: TrainingRun, elapsed_s: float, data: Mapping[str, str]) -> TrainingResult:
    schedule, losses = run.schedule, dict(run.held_out_curve)
    counts, distinct = count_examples(run.examples), first_uses(run.examples)
    order = training_order(counts.n_tokens, schedule.batch_size, schedule.steps, run.settings.seed)
    seen = counts.at(np.fromiter(order, np.int64))
    n_tokens = int(seen.n_tokens.sum())
    lengths = zip(map(int, seen.n_tokens), map(int, seen.n_completion_tokens), strict=True)
    flops = run.flops.of(lengths)
    peak = peak_flops_per_s()
    return TrainingResult(
        loss_before=losses.get(0),
        loss_after=losses.get(run.kept_step),
        train_curve=run.train_curve,
        held_out_curve=run.held_out_curve,
        n_examples=len(distinct),
        n_uses=len(run.examples),
        n_held_out=len(run.held_out),
        n_truncated=int(counts.at(distinct).truncated.sum()),
        steps=schedule.steps,
        batch_size=schedule.batch_size,
        micro_batch_size=schedule.micro_batch_size,
        n_tokens=n_tokens,
        n_completion_tokens=int(seen.n_completion_tokens.sum()),
        tokens_per_s=n_tokens / run.training_s,
        training_s=run.training_s,
        elapsed_s=elapsed_s,
        peak_memory_bytes=int(ranks.largest(float(peak_memory_bytes()))),
        examples_sha256=data["examples"],
        held_out_sha256=data["held_out"],
        kept_step=run.kept_step,
        resumed_at=run.resumed_at,
        n_processes=schedule.world_size,
        model_flops=flops,
        model_flops_per_s=flops / run.training_s,
        peak_flops_per_s=peak,
        utilisation=None if peak is None else flops / run.training_s / peak,
        samples=run.samples.facts(),
        samples_left_out=run.samples_left_out,
        hardware=hardware_facts(),
        versions=library_versions(),
    )


def _load(base: Path, settings: TrainingRecipe, trust_remote_code: bool) -> Any:
    # Full finetuning keeps float32 weights under bf16 arithmetic: a step of 1e-5 is below half a
    # unit in the last place of most bf16 weights and would be rounded away. LoRA's own weights are
    # float32 already, so its frozen base can be bf16.
    return load_causal_lm(
        base,
        dtype="float32" if settings.method == "full" else "bfloat16",
        dropout=settings.dropout,
        distributed_config=sharding(settings),
        quantization=quantization(settings),
        trust_remote_code=trust_remote_code,
    )


def _needed_bytes(base: Path, settings: TrainingRecipe) -> int:
    weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    return weights if settings.method == "full" else weights // 10


@contextlib.contextmanager
def _output(output_dir: Path) -> Iterator[Path]:
    """The folder that becomes `output_dir`, which the main process writes; a spare for others."""
    if not ranks.is_main():
        with tempfile.TemporaryDirectory() as spare:
            yield Path(spare)
        return
    existed = output_dir.is_dir()
    if existed:
        if any(output_dir.iterdir()):
            raise FileExistsError(f"{output_dir} is not empty; a model needs a folder of its own")
        output_dir.rmdir()
    try:
        with atomic_directory(output_dir) as folder:
            yield folder
    finally:
        if existed:
            output_dir.mkdir(exist_ok=True)


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder for the time of the training, the same in all processes.

    In the unfinished model's folder, which is cleared away after a process that is killed.
    """
    if not ranks.is_main():
        yield Path(ranks.told_by_main(""))
        return
    with tempfile.TemporaryDirectory(prefix="training-", dir=folder) as scratch:
        ranks.told_by_main(scratch)
        yield Path(scratch)
