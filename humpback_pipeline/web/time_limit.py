"""A limit on the CPU time that one page may take."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_REPEAT_S: Final = 0.1


class PageTimeoutError(BaseException):
    """The work on one page took too much CPU time.

    No Exception, as extractors go on after those: they would swallow it and work on without end.
    """


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

    is_at_work = True

    def stop(signum: int, frame: FrameType | None) -> None:
        if is_at_work:
            raise PageTimeoutError(f"over {seconds:g} s of CPU time")

    previous = signal.signal(signal.SIGVTALRM, stop)
    # Again and again: whoever catches it all the same is stopped at the next.
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, _REPEAT_S)
    try:
        yield
    finally:
        is_at_work = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)
