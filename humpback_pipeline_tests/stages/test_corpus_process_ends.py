"""Processes of shards as a whole: their progress, and that none outlives what began it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from scripted_shards import cut, open_workspace, write_script

from humpback_pipeline.progress import Progress
from humpback_pipeline.stages import Workspace, segment_progress
from humpback_pipeline.storage.atomic import temporary_paths


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


def test_progress_of_all_is_one_line_with_rate_and_time_left(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_progress, "EVERY_S", 0.5)
    write_script(workspace, "a", *["slow"] * 5)
    write_script(workspace, "b", *["slow"] * 2)
    told: list[Progress] = []
    cut(workspace, "a", "b", on_progress=told.append)
    assert {p.stage for p in told} == {"segments of 2 shards"}
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert 2 <= len(told) <= 2 + told[-1].elapsed_s / 0.5
    running = [p for p in told[:-1] if p.done]
    assert running
    for p in running:
        assert (p.total, p.unit) == (7, "kB")
        assert p.eta_s is not None
        assert "of 2 shards done" in p.detail
        assert re.search(r"a \d+%, last: a-\d", p.detail)
    assert told[-1].done == told[-1].total
    assert "7 pages" in told[-1].detail


def test_interrupt_ends_the_processes_at_once_and_leaves_nothing(workspace: Workspace) -> None:
    write_script(workspace, "a", "page", "sleep")

    def interrupt(_: Progress) -> None:
        if any(temporary_paths(workspace.home)):
            raise KeyboardInterrupt

    before = Counter(child.pid for child in psutil.Process().children())
    started_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        cut(workspace, "a", on_progress=interrupt)
    assert time.monotonic() - started_s < 8.0
    names = [c for c in psutil.Process().children() if c.pid not in before]
    assert not [child for child in names if "spawn_main" in " ".join(child.cmdline())]
    assert not list(temporary_paths(workspace.home))


PARENT = """
import sys
from pathlib import Path
from scripted_shards import cut, open_workspace
if __name__ == "__main__":
    cut(open_workspace(Path(sys.argv[1])), "a")
"""


def test_processes_end_with_a_parent_that_is_killed(workspace: Workspace, tmp_path: Path) -> None:
    write_script(workspace, "a", "sleep")
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], env=environment)
    try:
        deadline_s = time.monotonic() + 30.0
        while not any(temporary_paths(workspace.home)):  # its worker has begun to write
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        time.sleep(0.3)  # and sleeps in native code, holding the interpreter's lock
        children = psutil.Process(parent.pid).children(recursive=True)
        assert children
    finally:
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs(children, timeout=5.0)
    for child in alive:
        child.kill()
    assert not alive
