"""What a training tells of while it runs, besides its progress."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

EventKind = Literal["step", "held_out", "checkpoint", "resumed", "kept"]


@dataclass(frozen=True)
class TrainingEvent:
    """Something that happened after `step` optimizer steps.

    facts: `step`: loss, learning_rate, grad_norm; `held_out`: loss (mean nats a token);
    `checkpoint`: size_bytes, took_s; `resumed`: nothing; `kept`: loss of the weights that are kept.
    """

    kind: EventKind
    step: int
    facts: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line: `held_out at step 50: loss 1.234`."""
        facts = ", ".join(f"{name} {value:.6g}" for name, value in self.facts.items())
        return f"{self.kind} at step {self.step:,}" + (f": {facts}" if facts else "")


OnEvent = Callable[[TrainingEvent], None]


def ignore_event(event: TrainingEvent) -> None:
    """The default listener: does nothing."""
