"""The UI command as a process: what it refuses, and that its tree ends with it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from filelock import FileLock
from projects import free_port

from humpback_pipeline.commands.process_tree import OWNER_VARIABLE, kill_owned
from humpback_pipeline.commands.ui import HOST, _check_free
from humpback_pipeline.recipe_section import PACKAGE_DIR

# A command that starts a child and a grandchild and says their numbers.
COMMAND = """
import os, subprocess, sys, time
from humpback_pipeline.commands.process_tree import ProcessTree
tree = ProcessTree()
inner = "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', "
inner += "'import time; time.sleep(120)'], start_new_session=True); print(p.pid, flush=True); "
inner += "time.sleep(120)"
child = subprocess.Popen([sys.executable, "-c", inner])
print(child.pid, flush=True)
time.sleep(3) if sys.argv[1] == "ends" else time.sleep(120)
tree.end()
"""


def start_tree(how: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, how], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    found = [psutil.Process(int(process.stdout.readline())) for _ in range(2)]
    return process, [*found, *psutil.Process(process.pid).children()]


@pytest.mark.parametrize("how", ["ends", "killed"])
def test_nothing_a_command_started_outlives_it(how: str) -> None:
    process, tree = start_tree(how)
    if how == "killed":
        process.kill()

    assert not psutil.wait_procs(tree, timeout=15)[1]
    process.wait(15)


@pytest.fixture
def orphans(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Two processes of a command that is gone: one of this home, one of another."""
    code = [sys.executable, "-c", "import time; time.sleep(120)"]
    found = [
        subprocess.Popen(
            code, env={**os.environ, OWNER_VARIABLE: "1-gone", "DAGSTER_HOME": str(home)}
        )
        for home in (tmp_path, tmp_path / "other")
    ]
    time.sleep(0.2)
    yield found
    for process in found:
        process.kill()
        process.wait()


def test_only_what_belongs_to_this_home_is_ended(
    tmp_path: Path, orphans: list[subprocess.Popen[bytes]]
) -> None:
    killed = kill_owned(None, str(tmp_path))

    assert [process.pid for process in killed] == [orphans[0].pid]
    assert orphans[1].poll() is None


def test_taken_port_is_an_error_that_names_it_and_a_remedy() -> None:
    _check_free(free_port(), "--port NUMBER")
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match=rf"port {port} .*in use.*--port NUMBER"):
            _check_free(port, "--port NUMBER")


def test_second_ui_of_a_home_is_refused(tmp_path: Path) -> None:
    with FileLock(tmp_path / "ui.lock"):
        result = subprocess.run(
            [sys.executable, "-m", "humpback_pipeline", "ui", "--port", str(free_port())],
            cwd=PACKAGE_DIR.parent,
            env={
                **os.environ,
                "HUMPBACK_HOME": str(tmp_path / "home"),
                "DAGSTER_HOME": str(tmp_path),
                "HUMPBACK_RECIPE": "demo",
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert result.returncode == 1
    assert f"another `ui` is serving {tmp_path}" in result.stderr
    assert "Traceback" not in result.stderr
