"""Which page a process is at, for another process to see; and when it has sat there too long."""

from __future__ import annotations

import contextlib
from collections.abc import Hashable, Iterator
from ctypes import c_longlong
from dataclasses import dataclass, field
from multiprocessing.sharedctypes import RawValue

from humpback_pipeline.web.page_places import offset_of

# Two looks this far apart count no more, however long the watching process itself was stopped.
MAX_LOOK_GAP_S = 2.0
# Of a core; below it a process is doing nothing.
_IDLE_SHARE = 0.02


class PageMark:
    """The place (page_places.py) of the page being worked on, in memory that a child shares.

    One aligned word, written by the child alone and read by its parent: no lock is needed. Negative
    while no page is: before the first, between two, during a write. It keeps the place even then.
    """

    def __init__(self) -> None:
        self._value = RawValue(c_longlong, -1)

    def at(self, place: int | None) -> None:
        """Note that work on the page at a place begins; None or a negative one: on no page."""
        if place is None or place < 0:
            self.between()
        else:
            self._value.value = place

    def between(self) -> None:
        """Note that no page is being worked on."""
        if self._value.value >= 0:
            self._value.value = -1 - self._value.value

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No page during the block; after it the one from before."""
        before = self._value.value
        self.between()
        yield
        self._value.value = before

    @property
    def page(self) -> int | None:
        """Place of the page being worked on; None if there is none."""
        value: int = self._value.value
        return value if value >= 0 else None

    @property
    def position(self) -> int:
        """Record offset of the last page that was begun; 0 before the first."""
        value: int = self._value.value
        return offset_of(value if value >= 0 else -1 - value)


@dataclass
class PageWatch:
    """Tells when a process has sat at one place for `limit_s` of wall and CPU time, or slept there.

    CPU time decides for one that works, so that a busy machine costs no page. One that sleeps in
    native code uses none: there the time that it was seen asleep decides.
    """

    limit_s: float
    _place: Hashable | None = None
    _since_s: float = 0.0
    _cpu_before_s: float = 0.0
    _last: tuple[float, float] = field(default=(0.0, 0.0))
    _idle_s: float = 0.0

    def is_stuck(self, place: Hashable | None, now_s: float, cpu_s: float, asleep: bool) -> bool:
        """Look once more; None: at no place that could be to blame.

        cpu_s: all CPU time the process has used; asleep: its state just now.
        """
        if place is None or place != self._place:
            self._place, self._since_s, self._cpu_before_s = place, now_s, cpu_s
            self._idle_s, self._last = 0.0, (now_s, cpu_s)
            return False
        gap_s, used_s = now_s - self._last[0], cpu_s - self._last[1]
        self._last = now_s, cpu_s
        if asleep and used_s <= _IDLE_SHARE * gap_s:
            self._idle_s += min(gap_s, MAX_LOOK_GAP_S)
        else:
            self._idle_s = 0.0
        worked_s = min(now_s - self._since_s, cpu_s - self._cpu_before_s)
        return worked_s > self.limit_s or self._idle_s > self.limit_s
