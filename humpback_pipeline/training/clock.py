"""How long training has taken, without what was done on the side."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StepClock:
    """Seconds spent in training steps; `before_s` were spent by processes before this one."""

    def __init__(self) -> None:
        self.before_s = 0.0
        self._start_s = time.monotonic()

    def start(self) -> None:
        """Count from now on."""
        self._start_s = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return self.before_s + time.monotonic() - self._start_s

    @contextmanager
    def standing(self) -> Iterator[None]:
        """Not to count what the block takes: a measurement, a checkpoint."""
        start_s = time.monotonic()
        try:
            yield
        finally:
            self._start_s += time.monotonic() - start_s
