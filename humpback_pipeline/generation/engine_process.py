"""An engine in a child process, so that closing it returns every byte, GPU context included.

The child is the module `engine_child` run as a program. Parent and child speak JSON over a socket
pair. Every message bears the number of the question it belongs to, so that what is left of a
question that was given up is told from what comes next:
    parent  [number, method, arguments], then for a stream [number, "feed", [[index, item], …]] as
            there is room, [number, "end", null] at last, or [number, "cancel", null]
    child   [number, "answers", [[index, answer], …]], then [number, "done", result] or
            [number, "failed", text] or [number, "died", text]
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import humpback_pipeline
from humpback_pipeline.generation.engine import EngineDiedError, GenerationError
from humpback_pipeline.generation.streaming import Feed, Stream

if TYPE_CHECKING:
    from humpback_pipeline.generation.devices import EngineSlot

CLOSE_TIMEOUT_S = 10.0
# A signal may reach another thread than the waiting one, and would not end a wait without a limit.
INTERRUPT_POLL_S = 0.5
# Sent at once, so that the child sets to work while the rest is still being made ready.
MOST_SENT_AT_ONCE = 32
Kind = Literal["vllm", "transformers"]


class EngineProcess:
    """A child that runs one engine; `pid` is its number, `started` what it said on starting.

    It ends with `close`, with its slot, and with this process. Raises GenerationError.
    """

    def __init__(
        self, kind: Kind, arguments: Mapping[str, Any], devices: EngineSlot | None = None
    ) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "humpback_pipeline.generation.engine_child", kind]
            self._child = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_child_environment(devices),
            )
        self._pipe = Connection(ours.detach())
        self._number = 0
        self.pid = self._child.pid
        if devices is not None:
            devices.adopt(self._child)
        try:
            self.started = self.ask("start", **arguments)
        except BaseException:
            self.close()
            raise

    def ask(self, method: str, **arguments: Any) -> Any:
        """What the child answers to one question. Raises GenerationError."""
        self._begin(method, arguments)
        while True:
            kind, result = self._receive()
            if kind == "done":
                return result

    def stream(self, method: str, feed: Feed[Any], **arguments: Any) -> Stream:
        """Answers of the child to what the feed gives. Raises GenerationError, EngineDiedError."""
        number = self._begin(method, arguments)
        n_open = 0
        is_fed = is_done = False
        try:
            while not is_done:
                taken = [] if is_fed else feed.take(MOST_SENT_AT_ONCE, idle=n_open == 0)
                if taken:
                    self._send(number, "feed", list(taken))
                    n_open += len(taken)
                elif n_open == 0 and not is_fed:
                    self._send(number, "end", None)
                    is_fed = True
                if taken and not self._has_news(0.0):
                    continue  # more may be ready to be sent
                try:
                    kind, payload = self._receive()
                except GenerationError:
                    is_done = True
                    raise
                is_done = kind == "done"
                if kind == "answers":
                    n_open -= len(payload)
                    yield [(i, answer) for i, answer in payload]
        finally:
            if not is_done:
                self._send(number, "cancel", None)

    def close(self) -> None:
        """End the child. It has nothing to save, so it is not asked twice."""
        self._pipe.close()
        self._child.terminate()
        try:
            self._child.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _begin(self, method: str, arguments: Mapping[str, Any]) -> int:
        self._number += 1
        self._send(self._number, method, dict(arguments))
        return self._number

    def _send(self, number: int, method: str, payload: Any) -> None:
        # A child that is no more shows when its answer is read, after what it had answered before.
        with suppress(OSError):
            self._pipe.send_bytes(json.dumps([number, method, payload]).encode())

    def _receive(self) -> tuple[str, Any]:
        try:
            while True:
                while not self._has_news(INTERRUPT_POLL_S):
                    pass
                number, kind, payload = json.loads(self._pipe.recv_bytes())
                if number == self._number:
                    break
        except (EOFError, OSError) as error:
            raise EngineDiedError(self._epitaph()) from error
        if kind == "failed":
            raise GenerationError(payload)
        if kind == "died":
            raise EngineDiedError(payload)
        return kind, payload

    def _has_news(self, timeout_s: float) -> bool:
        try:
            return self._pipe.poll(timeout_s)
        except OSError:
            return True  # of its end

    def _epitaph(self) -> str:
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(1.0)
        return (
            f"the engine's process ended unexpectedly (exit status {self._child.returncode}; a "
            "negative one is a signal, -9 often means out of memory). Its messages are in the log "
            "above; lower generation.vllm.max_concurrent_sequences, max_model_tokens or the memory "
            "settings."
        )


def _child_environment(devices: EngineSlot | None) -> dict[str, str]:
    from humpback_pipeline.generation.vllm_core import ENVIRONMENT

    # The model is a local directory by now: a look at the network could only delay the start.
    paths = [str(Path(humpback_pipeline.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {
        **ENVIRONMENT,
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
        **(devices.environment if devices is not None else {}),
    }
