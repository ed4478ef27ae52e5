"""One training under way: it measures, writes checkpoints, and goes on where it was ended."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training import ranks, snapshot
from humpback_pipeline.training.budget import Schedule
from humpback_pipeline.training.cadence import CheckpointCadence
from humpback_pipeline.training.checkpoints import Checkpoints, folder_bytes, read_facts
from humpback_pipeline.training.clock import StepClock
from humpback_pipeline.training.events import OnEvent, TrainingEvent, ignore_event
from humpback_pipeline.training.examples import TrainingExample
from humpback_pipeline.training.flops import TrainingFlops, count_flops
from humpback_pipeline.training.listening import run_listener
from humpback_pipeline.training.loss import held_out_loss
from humpback_pipeline.training.packing import uses_packing
from humpback_pipeline.training.samples import Samples
from humpback_pipeline.training.tracking import tensorboard_callbacks
from humpback_pipeline.training.trainer import Collator, StepLog, build_trainer


@dataclass
class TrainingRun:
    """A training and what is known of it so far.

    `checkpoints` is where they lie; only a `resumable` training writes any to go on from.
    train_curve: see StepLog; held_out_curve: (steps done, mean nats per completion token);
    best_step: that of the lowest held-out loss, the base left out; resumed_at: steps gone on from.
    gathered: the trained weights, in the main process, where DeepSpeed has shared them out.
    """

    examples: Sequence[TrainingExample]
    held_out: Sequence[TrainingExample]
    settings: TrainingRecipe
    schedule: Schedule
    tokenizer: Any
    checkpoints: Checkpoints
    resumable: bool
    log_dir: Path
    stage: str = "training"
    on_progress: OnProgress = ignore_progress
    on_event: OnEvent = ignore_event
    train_curve: list[tuple[int, float, float]] = field(default_factory=list)
    held_out_curve: list[tuple[int, float]] = field(default_factory=list)
    best_step: int | None = None
    resumed_at: list[int] = field(default_factory=list)
    clock: StepClock = field(default_factory=StepClock)
    training_s: float = 0.0
    log: StepLog = field(init=False)
    samples: Samples = field(init=False)
    flops: TrainingFlops = field(init=False)
    gathered: dict[str, Any] | None = None
    _weights_bytes: int = 0
    _report: Callable[[dict[str, float]], None] = field(init=False)
    _cadence: CheckpointCadence = field(init=False)

    def __post_init__(self) -> None:
        settings = self.settings
        n = 0 if self.samples_left_out else settings.samples
        # Keys and values take a fraction of what a step keeps for its gradients.
        batch_tokens = self.schedule.micro_batch_size * settings.max_tokens
        if not settings.gradient_checkpointing:
            batch_tokens *= 4
        self.samples = Samples(self.held_out, n, self.tokenizer, batch_tokens)
        every_s, every_steps = settings.checkpoint_every_s, settings.checkpoint_every_steps
        self._cadence = CheckpointCadence(every_s, every_steps)

    @property
    def samples_left_out(self) -> str:
        """Why nothing is written before and after, though the recipe wants it; else empty."""
        strategy = self.settings.distributed.strategy
        if not self.settings.samples or strategy in ("none", "ddp"):
            return ""
        # All processes would have to write each text together.
        return f"no samples: under {strategy} no process holds the whole model"

    @property
    def kept_step(self) -> int:
        """After how many steps the weights that are kept were taken."""
        if self.settings.keep == "best" and self.best_step is not None:
            return self.best_step
        return self.schedule.steps

    def train(self, model: Any, scratch_dir: Path) -> Any:
        """Train `model`; return it as it is to be kept, wrapped by PEFT if that is the method."""
        from transformers.trainer_callback import PrinterCallback

        trainer = build_trainer(
            model,
            self.tokenizer,
            self.examples,
            self.settings,
            self.schedule,
            scratch_dir,
            callbacks=[run_listener(self), *tensorboard_callbacks(self.log_dir)],
            run_name=self.stage,
        )
        trainer.remove_callback(PrinterCallback)  # progress goes to the listener, not to stdout
        trainer.checkpoints, trainer.facts = self.checkpoints, self.facts
        trainer.clock, trainer.on_saved = self.clock, self._saved
        self.log, self.train_curve = trainer.step_log, trainer.step_log.curve
        self._report = partial(_report, trainer)
        self.flops = count_flops(trainer.model)
        snapshot.share_out_again(trainer.model)  # before an optimizer is made for the parts
        self._weights_bytes = snapshot.trainable_bytes(trainer.model)
        last = self._take_up()
        self._cadence.reset()
        trainer.train(resume_from_checkpoint=None if last is None else str(last))
        if self.kept_step != self.schedule.steps:
            snapshot.load_weights(trainer.model, self.checkpoints.best(self.kept_step))
        self.samples.write_after(trainer.model)
        if trainer.is_deepspeed_enabled:
            self.gathered = trainer.accelerator.get_state_dict(trainer.model_wrapped)
        loss = dict(self.held_out_curve).get(self.kept_step)
        self.tell(TrainingEvent("kept", self.kept_step, {} if loss is None else {"loss": loss}))
        return trainer.model

    def facts(self) -> dict[str, Any]:
        """What a checkpoint holds besides tensors."""
        return {
            "train_curve": self.train_curve,
            "held_out_curve": self.held_out_curve,
            "best_step": self.best_step,
            "resumed_at": self.resumed_at,
            "training_s": self.clock.seconds,
            "samples_before": self.samples.before,
        }

    def begin(self, model: Any) -> None:
        """Measure the untrained `model`, and keep what it writes."""
        self.measure(model, 0)
        with self.clock.standing():
            self.samples.write_before(model)

    def measure(self, model: Any, step: int) -> float | None:
        """Take the held-out loss; put the best weights by, if they are wanted."""
        with self.clock.standing():
            collate = Collator(self.tokenizer.pad_token_id, packed=uses_packing(model))
            rows = self.schedule.micro_batch_size
            loss = held_out_loss(model, self.held_out, collate, rows, step)
            if loss is None:
                return None
            lowest = dict(self.held_out_curve).get(self.best_step or -1, math.inf)
            self.held_out_curve.append((step, loss))
            self.tell(TrainingEvent("held_out", step, {"loss": loss}))
            self._report({"eval_loss": loss})
            if step == 0:
                self.log.watch.begin(loss)
            elif loss < lowest:
                # The last step's are at hand to the end.
                needless = self.settings.keep == "last" or step == self.schedule.steps
                if needless or self._put_by(model, step):
                    self.best_step = step
        return loss

    def checkpoint_is_due(self, step: int, measured: bool) -> bool:
        """Whether to write one after this step; the main process's clock decides for all."""
        if not self.resumable:
            return False
        due = self._cadence.is_due(step, self.clock.seconds, measured)
        # Adam's two moments are as large as the weights.
        return ranks.largest(float(ranks.is_main() and due and self._has_room(3))) > 0

    def tell(self, event: TrainingEvent) -> None:
        """Pass an event on; one process tells for all."""
        if ranks.is_main():
            self.on_event(event)

    def _take_up(self) -> Path | None:
        """Restore what the last checkpoint knows; return it, or None to begin at the beginning."""
        last = self.checkpoints.last() if self.resumable else None
        facts = read_facts(last) if last is not None else {"train_curve": []}
        step = len(facts["train_curve"])
        self.checkpoints.forget_after(step)
        if last is None:
            return None
        self.train_curve[:] = [tuple(point) for point in facts["train_curve"]]
        self.held_out_curve[:] = [tuple(point) for point in facts["held_out_curve"]]
        self.best_step, self.clock.before_s = facts["best_step"], facts["training_s"]
        self.resumed_at = [*facts["resumed_at"], step]
        self.samples.before = facts.get("samples_before", [])
        if self.held_out_curve:
            self.log.watch.begin(self.held_out_curve[0][1])
        for _, loss, _ in self.train_curve:
            self.log.watch.look(loss)
        self.tell(TrainingEvent("resumed", step))
        return last

    def _put_by(self, model: Any, step: int) -> bool:
        """Put weights by; False if the disk has no room for them."""
        has_room = ranks.largest(float(ranks.is_main() and self._has_room(1))) > 0
        write_part = partial(snapshot.save_weights, model)
        if not has_room or not self.checkpoints.write("best", step, write_part):
            return False
        self.checkpoints.prune(step)
        return True

    def _saved(self, step: int, took_s: float, folder: Path | None) -> None:
        self._cadence.reset(took_s)
        if ranks.is_main() and folder is not None:
            facts = {"size_bytes": float(folder_bytes(folder)), "took_s": took_s}
            self.tell(TrainingEvent("checkpoint", step, facts))

    def _has_room(self, times_weights: int) -> bool:
        if self.checkpoints.has_room(times_weights * self._weights_bytes):
            return True
        self._cadence.reset()
        return False


def _report(trainer: Any, logs: dict[str, float]) -> None:
    # The handler's own `on_log` would call the step's logging done.
    handler = trainer.callback_handler
    handler.call_event("on_log", trainer.args, trainer.state, trainer.control, logs=logs)
