"""The child processes that this process has of late; those of other tests may still be there."""

from __future__ import annotations

import psutil


def children() -> set[psutil.Process]:
    """All direct children, and those that have ended and were not waited for."""
    return set(psutil.Process().children())
