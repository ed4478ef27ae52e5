"""Every process a command starts, however deep, ends with it, even if it is killed.

All inherit an environment variable that names the command. A small guard waits for the command to
end, then kills what still carries that name: children of a killed process live on, and under
Dagster they would go on launching, training and holding ports.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import uuid
from pathlib import Path

import psutil

OWNER_VARIABLE = "HUMPBACK_OWNER"
KILL_TIMEOUT_S = 10.0


class ProcessTree:
    """A name for what this process starts from now on, and the guard that ends it."""

    def __init__(self) -> None:
        self.owner = f"{os.getpid()}-{uuid.uuid4().hex}"
        os.environ[OWNER_VARIABLE] = self.owner
        read_end, self._write_end = os.pipe()
        # A session of its own: Ctrl-C in the terminal is not for the guard.
        self._guard = subprocess.Popen(
            [sys.executable, "-I", str(Path(__file__)), self.owner],
            stdin=read_end,
            start_new_session=True,
        )
        os.close(read_end)

    def end(self) -> None:
        """Kill what is left of the tree, and the guard."""
        os.environ.pop(OWNER_VARIABLE, None)
        kill_owned(self.owner)
        os.close(self._write_end)
        self._guard.wait()


def kill_owned(owner: str | None, dagster_home: str | None = None) -> list[psutil.Process]:
    """Kill the processes of an owner, or of any owner that has used `dagster_home`.

    Not this process and its ancestors. Returns what was killed; nothing of it is left.
    """
    spared = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    killed: list[psutil.Process] = []
    # What is being killed may start another process meanwhile, so look again until none is found.
    while found := [p for p in _owned(owner, dagster_home) if p.pid not in spared]:
        for process in found:
            with contextlib.suppress(psutil.Error):
                process.kill()
        killed += found
        if psutil.wait_procs(found, timeout=KILL_TIMEOUT_S)[1]:
            break
    return killed


def _owned(owner: str | None, dagster_home: str | None) -> list[psutil.Process]:
    owned = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            environment = process.environ()
            name = environment.get(OWNER_VARIABLE)
            right_owner = name == owner if owner is not None else name is not None
            right_home = dagster_home is None or environment.get("DAGSTER_HOME") == dagster_home
            if right_owner and right_home and process.status() != psutil.STATUS_ZOMBIE:
                owned.append(process)
    return owned


if __name__ == "__main__":
    sys.stdin.buffer.read()  # ends when the owner does, however it ends
    kill_owned(sys.argv[1])
