"""The UI command: Dagster and the reports on this machine only, and nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest
from projects import free_port

from humpback_pipeline.recipe_section import PACKAGE_DIR

pytestmark = pytest.mark.slow


def wait_for(url: str, timeout_s: float = 90.0) -> httpx.Response:
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            return httpx.get(url, timeout=5.0)
        except httpx.HTTPError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def test_ui_serves_graph_and_report_locally_and_leaves_no_process(tmp_path: Path) -> None:
    port, report_port = free_port(), free_port()
    page = tmp_path / "home" / "reports" / "demo" / "report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<title>a report</title>")
    (tmp_path / "dagster").mkdir()
    environment = {
        **os.environ,
        "HUMPBACK_HOME": str(tmp_path / "home"),
        "DAGSTER_HOME": str(tmp_path / "dagster"),
        "HUMPBACK_REPORT_PORT": str(report_port),
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "humpback_pipeline", "ui", "--port", str(port)],
        cwd=PACKAGE_DIR.parent,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        assert wait_for(f"http://127.0.0.1:{port}/server_info").status_code == 200
        query = {"query": "{ assetNodes { assetKey { path } repository { location { name } } } }"}
        nodes = httpx.post(f"http://127.0.0.1:{port}/graphql", json=query, timeout=30.0).json()
        found = {node["assetKey"]["path"][0] for node in nodes["data"]["assetNodes"]}
        assert {"seed_data", "m2", "report"} <= found
        locations = {n["repository"]["location"]["name"] for n in nodes["data"]["assetNodes"]}
        assert locations == {"humpback_pipeline"}
        report = wait_for(f"http://127.0.0.1:{report_port}/demo/report.html")
        assert "a report" in report.text
        addresses = {
            connection.laddr.ip
            for child in psutil.Process(process.pid).children(recursive=True)
            for connection in child.net_connections(kind="inet")
            if connection.status == psutil.CONN_LISTEN
        }
        assert addresses <= {"127.0.0.1"}
        children = psutil.Process(process.pid).children(recursive=True)
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(40)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
