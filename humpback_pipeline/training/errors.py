"""The error of training itself."""

from __future__ import annotations

from collections.abc import Sequence


class TrainingDivergedError(RuntimeError):
    """The loss has exploded, or it or its gradient is not a number any more.

    `what` says which; `step` counts from 1 (0: before the first step); `example_ids` are those that
    were in memory, or all of the step.
    """

    def __init__(self, what: str, step: int, example_ids: Sequence[str]) -> None:
        self.what = what
        self.step = step
        self.example_ids = tuple(example_ids)
        super().__init__(
            f"{what} at step {step}, examples {', '.join(self.example_ids)}. Lower "
            "training.learning_rate_start, or look at these examples; at step 0 or 1 the base "
            "model's weights may be damaged."
        )


class TrainingMemoryError(ValueError):
    """A training would not fit into memory; the message says by how much and what would help."""
