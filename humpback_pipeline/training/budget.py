"""How long to train, and at what learning rate (paper section 3.1 and its table of steps)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from humpback_pipeline.recipe import TrainingRecipe

# (number of examples, optimizer steps), as the paper reports them.
PAPER_STEPS = (
    (100, 30),
    (800, 300),
    (1_600, 600),
    (3_200, 500),
    (6_400, 600),
    (12_800, 600),
    (25_600, 1_200),
    (51_200, 1_600),
)
SMALL_DATA_EXAMPLES = 3_000
SMALL_BATCH_SIZE = 8
BATCH_SIZE = 32


class Budget(NamedTuple):
    """Examples in an optimizer step, and the number of steps."""

    batch_size: int
    steps: int


@dataclass(frozen=True)
class Schedule:
    """A budget laid out on the hardware.

    `micro_batch_size` examples are in one device's memory at once; `accumulation` micro-batches on
    each of `world_size` devices make one step of `batch_size` examples.
    """

    batch_size: int
    steps: int
    micro_batch_size: int
    accumulation: int
    world_size: int = 1


def learning_rate_at(step: int, total: int, start: float = 1e-5, end: float = 9e-6) -> float:
    """Learning rate of optimizer step `step` of `total`, counted from 0.

    A straight line: step 0 has `start`, step `total - 1` (the last) has `end`, and a step past it
    keeps `end`. A single step has `start`. It never decays to zero. Raises ValueError.
    """
    if total < 1 or step < 0:
        raise ValueError(f"step must be at least 0 and total at least 1, got {step} and {total}")
    if total == 1:
        return start if step == 0 else end
    done = min(step, total - 1) / (total - 1)
    # Written so that both ends are exact in floating point.
    return start * (1.0 - done) + end * done


def budget_for(n_examples: int) -> Budget:
    """The paper's (batch_size, steps) for a number of training examples.

    Exact at the table's rows; between two rows the steps lie on the straight line between theirs;
    below 100 and above 51,200 examples they stay at the nearest row's. The batch is 8 under 3,000
    examples, else 32. Raises ValueError.
    """
    if n_examples < 1:
        raise ValueError(f"n_examples must be at least 1, got {n_examples}")
    batch_size = SMALL_BATCH_SIZE if n_examples < SMALL_DATA_EXAMPLES else BATCH_SIZE
    if n_examples <= PAPER_STEPS[0][0]:
        return Budget(batch_size, PAPER_STEPS[0][1])
    for (low, low_steps), (high, high_steps) in pairwise(PAPER_STEPS):
        if n_examples <= high:
            share = (n_examples - low) / (high - low)
            return Budget(batch_size, round(low_steps + share * (high_steps - low_steps)))
    return Budget(batch_size, PAPER_STEPS[-1][1])


def plan(settings: TrainingRecipe, n_examples: int, world_size: int = 1) -> Schedule:
    """Lay out the recipe's budget, or the paper's where the recipe leaves it empty.

    Raises ValueError if the batch cannot be shared evenly by `world_size` devices.
    """
    paper = budget_for(n_examples)
    batch_size = settings.batch_size or paper.batch_size
    if batch_size % world_size:
        raise ValueError(
            f"training.batch_size {batch_size} cannot be shared evenly by {world_size} devices; "
            f"choose a multiple of {world_size}"
        )
    share = batch_size // world_size
    micro = planned_micro_batch_size(settings, n_examples, world_size)
    return Schedule(batch_size, settings.steps or paper.steps, micro, share // micro, world_size)


def planned_micro_batch_size(
    settings: TrainingRecipe, n_examples: int | None, world_size: int = 1
) -> int:
    """The recipe's, or what of it divides a device's share of the batch.

    `n_examples`: None where they are not known yet; then the batch may be the paper's larger one.
    """
    paper = BATCH_SIZE if n_examples is None else budget_for(n_examples).batch_size
    share = max(1, (settings.batch_size or paper) // world_size)
    largest = min(settings.micro_batch_size, share)
    return next(size for size in range(largest, 0, -1) if share % size == 0)
