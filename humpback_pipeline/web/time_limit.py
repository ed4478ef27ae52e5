"""A limit on the CPU time that one page may take."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class PageTimeoutError(Exception):
    """The work on one page took too much CPU time."""


@contextmanager
def cpu_time_limit(seconds: float) -> Iterator[None]:
    """Raise PageTimeoutError in the block once it has used `seconds` of the process's CPU time.

    CPU time, not wall time: which pages are dropped must not depend on how busy the machine is.
    Signals reach the main thread only; in another thread, or where the platform has no such
    timer, there is no limit.
    """
    usable = hasattr(signal, "setitimer") and (
        threading.current_thread() is threading.main_thread()
    )
    if not usable:
        yield
        return

    def stop(signum: int, frame: FrameType | None) -> None:
        raise PageTimeoutError(f"over {seconds:g} s of CPU time")

    previous = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
