"""Errors that a smaller batch may cure."""

from __future__ import annotations

_SIGNS = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "no available memory",
    "desired gpu memory utilization",
    "desired cpu memory utilization",
)


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error, or one behind it, is about memory: torch's, CUDA's, vLLM's or Python's."""
    while True:
        if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
            return True
        if any(sign in str(error).lower() for sign in _SIGNS):
            return True
        if error.__cause__ is None:
            return False
        error = error.__cause__
