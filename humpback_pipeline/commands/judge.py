"""`judge`: a page on which one person judges the blinded pairs, on this machine only."""

from __future__ import annotations

import contextlib
import getpass
import os
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn
from filelock import FileLock, Timeout

from humpback_pipeline.judging import (
    JudgingQueue,
    build_app,
    judged_by_others,
    judgements_file,
    read_pairs,
)
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.human_evaluation import judgements_folder, pairs_file

HOST = "127.0.0.1"
DEFAULT_PORT = 3002
STOP_TIMEOUT_S = 2


def judge(annotator: str = "", port: int = DEFAULT_PORT) -> int:
    """Serve the page until interrupted; judgements are saved one by one.

    annotator: names the file of judgements; empty: whoever is logged in. Raises
    FileNotFoundError without pairs, RuntimeError if this annotator's page is open already, OSError
    if the port is taken.
    """
    workspace = Workspace(load_recipe())
    human = workspace.recipe.evaluation.human
    path, folder = pairs_file(workspace), judgements_folder(workspace)
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: no pairs to judge yet; materialise the asset human_evaluation_pairs first "
            "(`make run` does)"
        )
    name = annotator or _own_name()
    others = judged_by_others(folder, name)
    enough = frozenset(pair for pair, n in others.items() if n >= human.annotators_per_pair)
    with _alone(judgements_file(folder, name), name):
        queue = JudgingQueue(read_pairs(path), folder, name, enough)
        _serve(queue, port)
    n_judged = queue.state()["n_judged"]
    print(f"\n{n_judged} judgements in {queue.path}; materialise human_evaluation to import them.")
    return 0


def _serve(queue: JudgingQueue, port: int) -> None:
    try:
        listener = socket.create_server((HOST, port), family=socket.AF_INET)
    except OSError as error:
        raise OSError(
            f"port {port} of {HOST}: {os.strerror(error.errno or 0)}; stop what uses it, or choose "
            "another with --port NUMBER"
        ) from error
    config = uvicorn.Config(
        build_app(queue),
        log_level="error",
        access_log=False,
        lifespan="off",
        ws="none",
        timeout_graceful_shutdown=STOP_TIMEOUT_S,
    )
    state = queue.state()
    print(
        f"Judge at http://{HOST}:{listener.getsockname()[1]} as {state['annotator']}: "
        f"{state['n_judged']} of {state['n_total']} pairs judged. Ctrl-C ends.",
        flush=True,
    )
    with contextlib.suppress(KeyboardInterrupt), listener:
        uvicorn.Server(config).run(sockets=[listener])


@contextlib.contextmanager
def _alone(path: Path, name: str) -> Iterator[None]:
    """Hold this annotator's judgements: two pages would not know of each other's answers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.stem}.lock"), timeout=0)
    try:
        with lock:
            yield
    except Timeout as error:
        raise RuntimeError(
            f"a judging page of {name!r} is open already: use that one, or give --annotator NAME"
        ) from error


def _own_name() -> str:
    with contextlib.suppress(OSError, KeyError):  # a user without a name, as in some containers
        name = re.sub(r"[^A-Za-z0-9_.-]+", "-", getpass.getuser()).strip("-._")[:64]
        if name:
            return name
    return "annotator"
