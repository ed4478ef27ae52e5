"""`ui`: Dagster's own UI and daemon, and the pages beside them, on this machine only."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
from filelock import FileLock, Timeout

from humpback_pipeline.automation.observation import report_seed_data
from humpback_pipeline.automation.partitions import register_new_shards
from humpback_pipeline.automation.worker import bury_dead_runs
from humpback_pipeline.commands.homes import bind_homes
from humpback_pipeline.commands.process_tree import ProcessTree, kill_owned
from humpback_pipeline.lineage.links import PORT_VARIABLE, pages_port
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.seeds import SeedDataError
from humpback_pipeline.stages import Workspace

HOST = "127.0.0.1"
STOP_TIMEOUT_S = 15.0
WATCH_EVERY_S = 3.0
DEFAULT_PORT = 3000


def serve(port: int = DEFAULT_PORT) -> int:
    """Serve until interrupted; return the exit status of `dagster dev`.

    Nothing it started outlives it, even if it is killed. Raises RuntimeError if it is being served
    already, OSError if a port is taken.
    """
    home = bind_homes()
    with _only_one_ui(), _pages(home, port) as pages_address:
        _prepare()
        # Ended by Ctrl-C or SIGTERM alike. A shell starts background jobs with SIGINT ignored,
        # which `dagster dev` would inherit, and SIGINT is what it stops on; a handler undoes that.
        for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(signal_number, signal.default_int_handler)
        print(f"Start page: {pages_address}   Dagster: http://{HOST}:{port}", flush=True)
        return _serve_dagster(port)


def _serve_dagster(port: int) -> int:
    command = [sys.executable, "-m", "dagster", "dev", *_code_location()]
    command += ["--host", HOST, "--port", str(port)]
    tree = ProcessTree()
    process = subprocess.Popen(command)
    threading.Thread(target=_watch_code_server, args=(process.pid,), daemon=True).start()
    try:
        status = process.wait()
        print(
            "`dagster dev` has ended by itself; its messages are above. Start again, and runs and "
            "backfills go on where they were.",
            file=sys.stderr,
        )
        return status or 1
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired, KeyboardInterrupt):
            process.wait(STOP_TIMEOUT_S)
        return process.poll() or 0
    finally:
        tree.end()


def _watch_code_server(dagster_dev: int) -> None:
    """Have `dagster dev` start its code server again when the process that holds the code dies.

    It notices the death of the code server only, which goes on without that process and answers
    every request with an error until somebody presses Reload.
    """
    had_code: set[int] = set()
    while True:
        time.sleep(WATCH_EVERY_S)
        with contextlib.suppress(psutil.Error):
            for server in psutil.Process(dagster_dev).children():
                if "code-server" not in server.cmdline():
                    continue
                if server.children():
                    had_code.add(server.pid)
                elif server.pid in had_code:
                    had_code.remove(server.pid)
                    server.kill()


@contextlib.contextmanager
def _only_one_ui() -> Iterator[None]:
    """Hold this DAGSTER_HOME: two daemons on one would launch everything twice."""
    dagster_home = os.environ["DAGSTER_HOME"]
    try:
        with FileLock(Path(dagster_home) / "ui.lock", timeout=5.0):
            if killed := kill_owned(None, dagster_home):
                print(f"Ended {len(killed)} processes that a killed `ui` had left.", flush=True)
            yield
    except Timeout as error:
        raise RuntimeError(
            f"another `ui` is serving {dagster_home}: use or stop that one, or give this one a "
            "DAGSTER_HOME of its own."
        ) from error


def _prepare() -> None:
    """Register new WARC files; bury killed runs, so that the daemon launches the rest at once."""
    with dg.DagsterInstance.get() as instance:
        workspace = Workspace(load_recipe())
        register_new_shards(instance, workspace)
        with contextlib.suppress(SeedDataError):  # its check says so in the UI
            report_seed_data(instance, workspace)
        for run in bury_dead_runs(instance, launched_here=True):
            print(f"Run {run.run_id[:8]} was killed: what it had not done is launched again.")


@contextlib.contextmanager
def _pages(home: Path, dagster_port: int) -> Iterator[str]:
    """Serve the pages beside Dagster's; yield the address of the start page."""
    from humpback_pipeline.commands.pages import PagesServer

    _check_free(dagster_port, "python -m humpback_pipeline ui --port NUMBER")
    _check_free(pages_port(), f"{PORT_VARIABLE}=NUMBER")
    with PagesServer(HOST, pages_port(), home, f"http://{HOST}:{dagster_port}") as server:
        yield server.address


def _check_free(port: int, remedy: str) -> None:
    with socket.socket() as listener:
        # As servers do: a port that only waits for its last connections to end is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError as error:
            raise OSError(
                f"port {port} of {HOST} is in use ({error.strerror}); stop what uses it, or choose "
                f"another with {remedy}"
            ) from error


def _code_location() -> list[str]:
    workspace_file = PACKAGE_DIR.parent / "workspace.yaml"
    if workspace_file.is_file():  # names the location as pyproject.toml does
        return ["-w", str(workspace_file)]
    return ["-m", "humpback_pipeline.definitions"]
