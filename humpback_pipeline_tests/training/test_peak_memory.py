"""The peak memory that a training reports is that of its own process."""

from __future__ import annotations

import subprocess
import sys

LARGE_BYTES = 1_000_000_000


def test_peak_memory_is_not_what_the_parent_held_when_it_started_the_process() -> None:
    large = bytearray(LARGE_BYTES)
    large[::4096] = b"x" * len(large[::4096])  # touched, so that it is really there
    code = "from humpback_pipeline.training.result import peak_memory_bytes as p; print(p())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 10_000_000 < int(done.stdout) < LARGE_BYTES
    del large
