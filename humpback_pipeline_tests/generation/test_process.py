"""A process made for another one ends with it."""

from __future__ import annotations

import subprocess
import sys
import time

import psutil
import pytest

# A parent that starts a child by multiprocessing and waits; the child binds its life to it.
SCRIPT = """
import multiprocessing, os, sys, time
from humpback_pipeline.generation.process import die_with_parent, exit_when_orphaned

def work(how):
    die_with_parent() if how == "kernel" else exit_when_orphaned(os.getppid(), every_s=0.05)
    print(os.getpid(), flush=True)
    time.sleep(120)

if __name__ == "__main__":
    child = multiprocessing.get_context("fork").Process(target=work, args=(sys.argv[1],))
    child.start()
    child.join()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="prctl is Linux's")
@pytest.mark.parametrize("how", ["kernel", "watch"])
def test_child_ends_when_its_parent_is_killed(how: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SCRIPT, how], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        assert child.is_running()

        parent.kill()

        deadline = time.monotonic() + 10
        while is_alive(child) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not is_alive(child)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
