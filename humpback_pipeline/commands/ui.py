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

from humpback_pipeline.recipe import load_recipe

HOST = "127.0.0.1"
REPORT_PORT = int(os.environ.get("HUMPBACK_REPORT_PORT", "3001"))


def serve(port: int = 3000) -> int:
    """Serve until interrupted; return the exit status of `dagster dev`."""
    home = load_recipe().home.expanduser().resolve()
    os.environ["HUMPBACK_HOME"] = str(home)
    reports = home / "reports"
    reports.mkdir(parents=True, exist_ok=True)
    server = _report_server(reports)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(f"Dagster UI: http://{HOST}:{port}   reports: http://{HOST}:{REPORT_PORT}", flush=True)
    # `make` and service managers end this with SIGTERM; the children must go too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    command = [sys.executable, "-m", "dagster", "dev", "-m", "humpback_pipeline.definitions"]
    command += ["--host", HOST, "--port", str(port)]
    process = subprocess.Popen(command)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()
        return process.wait()
    finally:
        server.shutdown()


def _report_server(folder: Path) -> http.server.ThreadingHTTPServer:
    handler = functools.partial(_QuietHandler, directory=str(folder))
    return http.server.ThreadingHTTPServer((HOST, REPORT_PORT), handler)


class _QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Keep requests out of the terminal."""
