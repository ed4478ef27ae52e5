"""A process's memory, from what the kernel says of it."""

from __future__ import annotations

import threading
from pathlib import Path


class AnonymousPeak(threading.Thread):
    """Samples the process's anonymous memory."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.start_kb, self.peak_kb, self.ended = memory_kb("RssAnon"), 0, threading.Event()

    def run(self) -> None:
        """Sample until `ended`."""
        while not self.ended.wait(0.02):
            self.peak_kb = max(self.peak_kb, memory_kb("RssAnon"))


def memory_kb(field: str) -> int:
    """RssAnon, or VmHWM for the peak; getrusage's peak would be that of the process that forked."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{field}:")[2].split()[0])
