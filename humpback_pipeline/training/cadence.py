"""When a checkpoint is due."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

# Of all time, at most a twentieth goes into checkpoints: a large model's takes minutes.
TIMES_TOOK = 20


@dataclass
class CheckpointCadence:
    """Every so many seconds, though not so often that they slow the training; and steps.

    None for either: not by it. `every_s` 0: after every step, whatever that costs.
    """

    every_s: float | None
    every_steps: int | None
    took_s: float = 0.0
    _last_s: float = field(default_factory=time.monotonic)

    def reset(self, took_s: float | None = None) -> None:
        """Count from now on; `took_s`: what the one just written took, if one was."""
        self._last_s = time.monotonic()
        self.took_s = self.took_s if took_s is None else took_s

    def is_due(self, step: int, training_s: float, measured: bool) -> bool:
        """Whether to write one after `step`, which training has reached in `training_s`."""
        due = self.every_steps is not None and step % self.every_steps == 0
        if self.every_s is None:
            return due
        since_s = time.monotonic() - self._last_s
        least_s = TIMES_TOOK * self.took_s if self.every_s else 0.0
        due |= since_s >= max(self.every_s, least_s)
        # In a long training; else the measurement would be taken again after a kill.
        return due or (measured and training_s >= self.every_s and since_s >= least_s)
