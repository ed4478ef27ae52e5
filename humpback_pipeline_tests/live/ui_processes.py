"""The processes of one project's UI, told apart by what their command lines say."""

from __future__ import annotations

from pathlib import Path

import psutil

KINDS = {
    "ui": ("-m humpback_pipeline ui", "process_tree.py"),
    "dev": ("-m dagster dev",),
    "webserver": ("dagster_webserver",),
    "daemon": ("dagster._daemon",),
    # The last keeps the shared memory of a server's children; it stays when they have gone.
    "code_server": ("code-server start", "api grpc", "multiprocessing.resource_tracker"),
}


def processes_of(dagster_home: Path) -> list[psutil.Process]:
    """Every live process with this DAGSTER_HOME in its environment, however deep, orphans too."""
    mine = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DAGSTER_HOME") != str(dagster_home):
                continue
            if process.status() != psutil.STATUS_ZOMBIE:
                mine.append(process)
        except psutil.Error:
            continue
    return mine


def kind_of(process: psutil.Process) -> str:
    """A name of `KINDS`; "runs" for run workers and their steps; empty for one that has ended."""
    try:
        line = " ".join(process.cmdline())
    except psutil.Error:
        return ""
    for kind, marks in KINDS.items():
        if any(mark in line for mark in marks):
            return kind
    return "runs" if line else ""
