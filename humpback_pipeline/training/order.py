"""In which order examples are trained on."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def training_order(
    lengths: Sequence[int] | NDArray[np.int32], batch_size: int, steps: int, seed: int
) -> Iterator[int]:
    """Yield `batch_size * steps` indices of examples, a step's examples together.

    Every epoch is a new permutation, so each step is a random batch as in plain shuffling. Only
    inside a step are examples sorted by length, longest first: its micro-batches then need little
    padding, and its gradient, a sum over the step, is the same in any order.
    """
    generator = random.Random(seed)
    epoch = range(len(lengths))
    waiting, start = array("q"), 0
    for _ in range(steps):
        while len(waiting) - start < batch_size:
            more = array("q", generator.sample(epoch, len(epoch)))
            waiting, start = waiting[start:] + more, 0
        step = waiting[start : start + batch_size]
        start += batch_size
        yield from sorted(step, key=lambda index: (-lengths[index], index))
