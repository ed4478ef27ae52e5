"""What a training run does at the Trainer's moments."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from humpback_pipeline.progress import ProgressMeter, ignore_progress
from humpback_pipeline.training import ranks
from humpback_pipeline.training.events import TrainingEvent

if TYPE_CHECKING:
    from humpback_pipeline.training.run import TrainingRun

# The held-out loss is also measured under way, at most eight times, where training is that long.
MIN_STEPS_BETWEEN_MEASUREMENTS = 25
MEASUREMENTS = 8


def run_listener(run: TrainingRun) -> Any:
    """A Trainer's callback for `run`, to stand before those that report to other tools."""
    from transformers import TrainerCallback

    steps = run.schedule.steps
    every = max(MIN_STEPS_BETWEEN_MEASUREMENTS, -(-steps // MEASUREMENTS))

    class RunListener(TrainerCallback):
        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            run.clock.start()
            if not run.resumed_at:
                run.begin(kwargs["model"])
            # Counted from here, and from what went before: a rate has no part in loading.
            listener = run.on_progress if ranks.is_main() else ignore_progress
            self.meter = ProgressMeter(run.stage, steps, "steps", listener, done=state.global_step)
            self.meter._start_s = time.monotonic() - run.clock.before_s

        def on_log(
            self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any
        ) -> None:
            if "loss" not in logs:
                return
            loss, curve = float(logs["loss"]), run.held_out_curve
            held_out = f", held out {curve[-1][1]:.3f}" if curve else ""
            self.meter.advance(detail=f"loss {loss:.3f}{held_out}")
            facts = {
                "loss": loss,
                "learning_rate": run.log.learning_rate,
                "grad_norm": run.log.grad_norm,
            }
            run.tell(TrainingEvent("step", state.global_step, facts))

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            done = state.global_step
            is_moment = done % every == 0 or done == steps
            loss = run.measure(kwargs["model"], done) if is_moment else None
            if run.checkpoint_is_due(done, measured=loss is not None):
                control.should_save = True

        def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            run.training_s = run.clock.seconds

    return RunListener()
