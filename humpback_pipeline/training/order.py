"""In which order examples are trained on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence


def training_order(lengths: Sequence[int], batch_size: int, steps: int, seed: int) -> Iterator[int]:
    """Yield `batch_size * steps` indices of examples, a step's examples together.

    Every epoch is a new permutation, so each step is a random batch as in plain shuffling. Only
    inside a step are examples sorted by length, longest first: its micro-batches then need little
    padding, and its gradient, a sum over the step, is the same in any order.
    """
    generator = random.Random(seed)
    waiting: list[int] = []
    for _ in range(steps):
        while len(waiting) < batch_size:
            waiting += generator.sample(range(len(lengths)), len(lengths))
        step, waiting = waiting[:batch_size], waiting[batch_size:]
        yield from sorted(step, key=lambda index: (-lengths[index], index))
