"""Finetune a base model on examples and save it with everything known about the training."""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from humpback_pipeline.models import load_causal_lm, load_tokenizer
from humpback_pipeline.progress import OnProgress, ProgressMeter, ignore_progress
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.storage import atomic_directory, check_free_space
from humpback_pipeline.training.budget import Schedule, plan
from humpback_pipeline.training.examples import TrainingExample, hash_examples
from humpback_pipeline.training.loss import held_out_loss
from humpback_pipeline.training.order import training_order
from humpback_pipeline.training.result import (
    TrainingResult,
    hardware_facts,
    library_versions,
    peak_memory_bytes,
)
from humpback_pipeline.training.saving import save_model
from humpback_pipeline.training.trainer import Collator, build_trainer

# The held-out loss is also measured under way, at most eight times, where training is that long.
MIN_STEPS_BETWEEN_MEASUREMENTS = 25
MEASUREMENTS = 8


def train_model(
    base: Path,
    examples: Sequence[TrainingExample],
    held_out: Sequence[TrainingExample],
    settings: TrainingRecipe,
    output_dir: Path,
    *,
    base_identity: Mapping[str, Any] | None = None,
    on_progress: OnProgress = ignore_progress,
    stage: str = "training",
    trust_remote_code: bool = False,
) -> TrainingResult:
    """Finetune `base` on `examples` (paper section 3.1) and write the model to `output_dir`.

    `output_dir` must be new or empty; it gets a PEFT adapter or a full model, its tokenizer with
    chat template, training.json and a model card, or, on any error, nothing. `base_identity` is
    `BaseModel.facts()`. Deterministic for a given seed, device and library versions. Raises
    ValueError, BaseModelError, OutOfSpaceError, TrainingDivergedError.
    """
    start_s = time.monotonic()
    if not examples:
        raise ValueError(
            "no examples to train on: every pair was dropped, or none was selected; look at the "
            "counts of the asset upstream, or loosen curation.selection"
        )
    schedule = plan(settings, len(examples), int(os.environ.get("WORLD_SIZE", "1")))
    with _fresh_directory(output_dir) as folder:
        check_free_space(folder, _needed_bytes(base, settings))
        tokenizer = load_tokenizer(base, trust_remote_code=trust_remote_code)
        run = _Run(examples, held_out, settings, schedule, tokenizer, stage, on_progress)
        model = _load(base, settings, trust_remote_code)
        trained = run.train(model, folder)
        result = run.result(time.monotonic() - start_s)
        save_model(
            trained, tokenizer, base, settings, result, folder, base_identity, trust_remote_code
        )
    return result


@dataclass
class _Run:
    examples: Sequence[TrainingExample]
    held_out: Sequence[TrainingExample]
    settings: TrainingRecipe
    schedule: Schedule
    tokenizer: Any
    stage: str
    on_progress: OnProgress
    held_out_curve: list[tuple[int, float]] = field(default_factory=list)
    train_curve: list[tuple[int, float, float]] = field(default_factory=list)
    training_s: float = 0.0
    measuring_s: float = 0.0

    def train(self, model: Any, folder: Path) -> Any:
        """Train `model`; return it, wrapped by PEFT if that is the method."""
        # In the unfinished model's folder, which is cleared away after a process that is killed.
        with tempfile.TemporaryDirectory(prefix="training-", dir=folder) as scratch:
            trainer = build_trainer(
                model,
                self.tokenizer,
                self.examples,
                self.settings,
                self.schedule,
                Path(scratch),
                callbacks=[self._listener()],
            )
            _silence(trainer)
            self._measure(trainer.model, 0)
            start_s, measured_s = time.monotonic(), self.measuring_s
            trainer.train()
            self.training_s = time.monotonic() - start_s - (self.measuring_s - measured_s)
        self.train_curve = trainer.step_log.curve
        self._measure(trainer.model, self.schedule.steps)
        return trainer.model

    def _measure(self, model: Any, steps_done: int) -> None:
        start_s = time.monotonic()
        collate = Collator(self.tokenizer.pad_token_id)
        loss = held_out_loss(model, self.held_out, collate, self.schedule.micro_batch_size)
        if loss is not None:
            self.held_out_curve.append((steps_done, loss))
        self.measuring_s += time.monotonic() - start_s

    def _listener(self) -> Any:
        from transformers import TrainerCallback

        every = max(MIN_STEPS_BETWEEN_MEASUREMENTS, -(-self.schedule.steps // MEASUREMENTS))
        run = self

        class RunListener(TrainerCallback):
            def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                # Counted from here: loading and the first measurement are no part of the rate.
                self.meter = ProgressMeter(run.stage, run.schedule.steps, "steps", run.on_progress)

            def on_log(
                self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
            ) -> None:
                if "loss" in logs:
                    curve = run.held_out_curve
                    held_out = f", held out {curve[-1][1]:.3f}" if curve else ""
                    self.meter.advance(detail=f"loss {float(logs['loss']):.3f}{held_out}")

            def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
                done = state.global_step
                if done % every == 0 and done < run.schedule.steps:
                    run._measure(kwargs["model"], done)

        return RunListener()

    def result(self, elapsed_s: float) -> TrainingResult:
        """Facts of the finished run."""
        schedule = self.schedule
        lengths = [example.n_tokens for example in self.examples]
        seen = list(
            training_order(lengths, schedule.batch_size, schedule.steps, self.settings.seed)
        )
        n_tokens = sum(lengths[index] for index in seen)
        losses = [loss for _, loss in self.held_out_curve]
        return TrainingResult(
            loss_before=losses[0] if losses else None,
            loss_after=losses[-1] if losses else None,
            train_curve=self.train_curve,
            held_out_curve=self.held_out_curve,
            n_examples=len(self.examples),
            n_held_out=len(self.held_out),
            n_truncated=sum(example.truncated for example in self.examples),
            steps=schedule.steps,
            batch_size=schedule.batch_size,
            micro_batch_size=schedule.micro_batch_size,
            n_tokens=n_tokens,
            n_completion_tokens=sum(len(self.examples[index].completion_ids) for index in seen),
            tokens_per_s=n_tokens / self.training_s,
            training_s=self.training_s,
            elapsed_s=elapsed_s,
            peak_memory_bytes=peak_memory_bytes(),
            examples_sha256=hash_examples(self.examples),
            held_out_sha256=hash_examples(self.held_out),
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
        trust_remote_code=trust_remote_code,
    )


def _needed_bytes(base: Path, settings: TrainingRecipe) -> int:
    weights = sum(file.stat().st_size for file in base.glob("*.safetensors"))
    return weights if settings.method == "full" else weights // 10


def _silence(trainer: Any) -> None:
    from transformers.trainer_callback import PrinterCallback

    trainer.remove_callback(PrinterCallback)  # progress goes to the listener, not to stdout


@contextlib.contextmanager
def _fresh_directory(output_dir: Path) -> Iterator[Path]:
    """Yield a folder that becomes `output_dir`, which may be there if it is empty."""
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
