"""A Trainer's own saving and loading, without its pickles.

The Trainer knows when to load what and how to find its place in the data again; what its methods
write is `torch.save`d. The mixin puts safetensors and JSON in their place.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from humpback_pipeline.training import snapshot
from humpback_pipeline.training.checkpoints import Checkpoints, write_facts
from humpback_pipeline.training.clock import StepClock

TRAINER_STATE = "trainer_state.json"  # the Trainer reads it by this name


class SavedAsSafetensors:
    """To be put before a Trainer class. What is asked for here is set before it trains.

    checkpoints: where to; clock: stands still meanwhile; facts: what else a checkpoint holds;
    on_saved: told of the step, the seconds it took, and the folder, or None if the disk failed.
    """

    checkpoints: Checkpoints
    clock: StepClock
    facts: Callable[[], dict[str, Any]]
    on_saved: Callable[[int, float, Path | None], None]
    # The Trainer's, as far as they are used here.
    model: Any
    optimizer: Any
    lr_scheduler: Any
    state: Any
    args: Any

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        start_s, step, facts = time.monotonic(), self.state.global_step, self.facts()

        def write_part(folder: Path) -> None:
            snapshot.save_weights(self.model, folder)
            snapshot.save_optimizer(self.model, self.optimizer, self.lr_scheduler, folder)
            snapshot.save_random_states(folder)
            if self.args.should_save:
                self.state.save_to_json(str(folder / TRAINER_STATE))
            write_facts(folder, facts)

        with self.clock.standing():
            is_written = self.checkpoints.write("checkpoint", step, write_part)
            if is_written:
                self.checkpoints.prune(facts["best_step"])
        written = self.checkpoints.folder / f"checkpoint-{step}" if is_written else None
        self.on_saved(step, time.monotonic() - start_s, written)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        # Called before or, with sharding, after the model was wrapped; its parameters are the same.
        snapshot.load_weights(self.model, Path(resume_from_checkpoint))

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            snapshot.load_optimizer(self.model, self.optimizer, self.lr_scheduler, Path(checkpoint))

    def _load_scaler(self, checkpoint: str | None) -> None:
        """No gradient scaler is used in bf16."""

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            snapshot.load_random_states(Path(checkpoint))
