"""`ui`: Dagster's own UI and daemon, and the reports beside them, on this machine only."""

from __future__ import annotations

import functools
import http.server
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

from humpback_pipeline.commands.homes import bind_homes
from humpback_pipeline.recipe import PACKAGE_DIR

HOST = "127.0.0.1"
STOP_TIMEOUT_S = 15.0
REPORT_PORT = int(os.environ.get("HUMPBACK_REPORT_PORT", "3001"))


def serve(port: int = 3000) -> int:
    """Serve until interrupted; return the exit status of `dagster dev`."""
    reports = bind_homes() / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    server = _report_server(reports)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"Dagster UI: http://{HOST}:{port}   reports: http://{HOST}:{REPORT_PORT}", flush=True)
    # Ended by Ctrl-C or SIGTERM alike. A shell starts background jobs with SIGINT ignored, which
    # `dagster dev` would inherit, and SIGINT is what it stops on; a handler here undoes that.
    for signal_number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(signal_number, signal.default_int_handler)
    command = [sys.executable, "-m", "dagster", "dev", *_code_location()]
    command += ["--host", HOST, "--port", str(port)]
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        return _stop(process)
    finally:
        server.shutdown()


def _stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGINT)
    try:
        return process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        import psutil

        for child in psutil.Process(process.pid).children(recursive=True):
            child.kill()
        process.kill()
        return process.wait()


def _code_location() -> list[str]:
    workspace_file = PACKAGE_DIR.parent / "workspace.yaml"
    if workspace_file.is_file():  # names the location as pyproject.toml does
        return ["-w", str(workspace_file)]
    return ["-m", "humpback_pipeline.definitions"]


def _report_server(folder: Path) -> http.server.ThreadingHTTPServer:
    handler = functools.partial(_QuietHandler, directory=str(folder))
    return http.server.ThreadingHTTPServer((HOST, REPORT_PORT), handler)


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep requests out of the terminal."""
