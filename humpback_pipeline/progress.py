"""Progress of long work: how much is done, how fast, and how long it will still take."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """A moment of a piece of work that counts `unit`s; `total` is None where it is not known."""

    stage: str
    done: int
    total: int | None
    unit: str
    elapsed_s: float
    detail: str = ""

    @property
    def rate_per_s(self) -> float:
        """Units a second since the start."""
        return self.done / self.elapsed_s if self.elapsed_s > 0 else 0.0

    @property
    def eta_s(self) -> float | None:
        """Seconds left at this rate; None where the total or the rate is unknown."""
        if self.total is None or self.rate_per_s == 0:
            return None
        return max(0.0, (self.total - self.done) / self.rate_per_s)

    def __str__(self) -> str:
        """One line: `m0 training: 6/8 steps, 0.11 steps/s, ETA 18 s · loss 2.31`."""
        of = f"/{self.total:,}" if self.total is not None else ""
        eta = f", ETA {self.eta_s:.0f} s" if self.eta_s is not None else ""
        detail = f" · {self.detail}" if self.detail else ""
        rate = f"{self.rate_per_s:.2f}" if self.rate_per_s < 10 else f"{self.rate_per_s:,.0f}"
        return f"{self.stage}: {self.done:,}{of} {self.unit}, {rate} {self.unit}/s{eta}{detail}"


OnProgress = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """The default listener: does nothing."""


@dataclass
class ProgressMeter:
    """Counts work and tells `listener` at most every `every_s` seconds, and at the end."""

    stage: str
    total: int | None
    unit: str
    listener: OnProgress = ignore_progress
    every_s: float = 5.0
    done: int = 0
    _start_s: float = field(default_factory=time.monotonic)
    _last_told_s: float = 0.0

    def advance(self, n: int = 1, detail: str = "") -> None:
        """Add `n` units; `detail` is a short word on the latest, such as a loss or a sample."""
        self.done += n
        now_s = time.monotonic()
        if now_s - self._last_told_s >= self.every_s or self.done == self.total:
            self._last_told_s = now_s
            elapsed_s = now_s - self._start_s
            self.listener(Progress(self.stage, self.done, self.total, self.unit, elapsed_s, detail))
