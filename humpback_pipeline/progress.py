"""Progress of long work: how much is done, how fast, and how long it will still take."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

# From here on the pause between two lines grows with the time the work has taken.
RELAXED_AFTER_S = 300.0


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
        eta = f", ETA {duration(self.eta_s)}" if self.eta_s is not None else ""
        detail = f" · {self.detail}" if self.detail else ""
        rate = f"{self.rate_per_s:.2f}" if self.rate_per_s < 10 else f"{self.rate_per_s:,.0f}"
        return f"{self.stage}: {self.done:,}{of} {self.unit}, {rate} {self.unit}/s{eta}{detail}"


def duration(seconds: float) -> str:
    """A span of time in the two largest units that matter: `45 s`, `12 min 5 s`, `3 h 20 min`."""
    for unit_s, unit, part_s, part in (
        (86_400, "d", 3_600, "h"),
        (3_600, "h", 60, "min"),
        (60, "min", 1, "s"),
    ):
        if seconds >= unit_s:
            whole, rest = divmod(int(seconds), unit_s)
            return f"{whole} {unit} {rest // part_s} {part}"
    return f"{seconds:.0f} s"


def one_line(text: str, max_chars: int = 60) -> str:
    """`text` on one line, cut to `max_chars` with an ellipsis: a sample for a progress line."""
    flat = " ".join(text.split())
    return flat if len(flat) <= max_chars else flat[: max_chars - 1].rstrip() + "…"


OnProgress = Callable[[Progress], None]


def ignore_progress(progress: Progress) -> None:
    """The default listener: does nothing."""


def paced(listener: OnProgress, every_s: float = 5.0) -> OnProgress:
    """`listener`, told of each stage at most every `every_s` seconds, more rarely as time goes on.

    The first and the last moment of a stage are always told.
    """
    last_told_s: dict[str, float] = {}

    def tell(progress: Progress) -> None:
        now_s = time.monotonic()
        last_s = last_told_s.get(progress.stage, -math.inf)
        is_last = progress.done == progress.total
        if is_last or now_s - last_s >= _pause_s(every_s, progress.elapsed_s):
            last_told_s[progress.stage] = now_s
            listener(progress)

    return tell


def _pause_s(every_s: float, elapsed_s: float) -> float:
    # Days of work leave hundreds of lines in a log this way, not ten thousands.
    return every_s * max(1.0, elapsed_s / RELAXED_AFTER_S)


@dataclass
class ProgressMeter:
    """Counts work and tells `listener` of it: at the first unit, now and then, and at the end.

    At most every `every_s` seconds, and more rarely as time goes on: after an hour once a minute.
    """

    stage: str
    total: int | None
    unit: str
    listener: OnProgress = ignore_progress
    every_s: float = 5.0
    done: int = 0
    _start_s: float = field(default_factory=time.monotonic)
    _last_told_s: float | None = None

    def advance(self, n: int = 1, detail: str | Callable[[], str] = "") -> None:
        """Add `n` units; `detail` is a short word on the latest, such as a loss or a sample.

        A function is called only when there is somebody to tell.
        """
        self.done += n
        now_s = time.monotonic()
        if self.done == self.total or self._is_due(now_s):
            self._tell(now_s, detail)

    def finish(self, detail: str | Callable[[], str] = "") -> None:
        """Tell of the end, for work whose total nobody knew; once is enough."""
        if self.done != self.total:
            self.total = self.done
            self._tell(time.monotonic(), detail)

    def _is_due(self, now_s: float) -> bool:
        if self._last_told_s is None:
            return True
        return now_s - self._last_told_s >= _pause_s(self.every_s, now_s - self._start_s)

    def _tell(self, now_s: float, detail: str | Callable[[], str]) -> None:
        self._last_told_s = now_s
        text = detail() if callable(detail) else detail
        elapsed_s = now_s - self._start_s
        self.listener(Progress(self.stage, self.done, self.total, self.unit, elapsed_s, text))
