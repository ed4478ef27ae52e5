"""An engine in a child process, so that closing it returns every byte, GPU context included.

The child is this module run as a program. Parent and child speak JSON over a socket pair: a method
with its arguments one way, a result or an error the other.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import humpback_pipeline
from humpback_pipeline.generation.engine import GenerationError
from humpback_pipeline.generation.process import exit_when_orphaned

if TYPE_CHECKING:
    from humpback_pipeline.generation.devices import EngineSlot

CLOSE_TIMEOUT_S = 10.0
# A signal may reach another thread than the waiting one, and would not end a wait without a limit.
INTERRUPT_POLL_S = 0.5
Kind = Literal["vllm", "transformers"]
# What a child answers: method → function of its arguments. All are JSON's own types.
Handlers = Mapping[str, Callable[..., Any]]


class EngineProcess:
    """A child that runs one engine; `pid` is its number, `started` what it said on starting.

    It ends with `close`, with its slot, and with this process. Raises GenerationError.
    """

    def __init__(
        self, kind: Kind, arguments: Mapping[str, Any], devices: EngineSlot | None = None
    ) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "humpback_pipeline.generation.engine_process", kind]
            self._child = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_child_environment(devices),
            )
        self._pipe = Connection(ours.detach())
        self.pid = self._child.pid
        if devices is not None:
            devices.adopt(self._child)
        try:
            self.started = self.ask("start", **arguments)
        except BaseException:
            self.close()
            raise

    def ask(self, method: str, **arguments: Any) -> Any:
        """What the child's handler of this name returns. Raises GenerationError."""
        try:
            self._pipe.send_bytes(json.dumps([method, arguments]).encode())
            while not self._pipe.poll(INTERRUPT_POLL_S):
                pass
            ok, result = json.loads(self._pipe.recv_bytes())
        except (EOFError, OSError) as error:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(1.0)
            raise GenerationError(
                f"the engine's process ended unexpectedly (exit status {self._child.returncode}; a "
                "negative one is a signal, -9 often means out of memory). Its messages are in the "
                "log above; lower generation.vllm.max_concurrent_sequences, max_model_tokens or "
                "the memory settings."
            ) from error
        if not ok:
            raise GenerationError(result)
        return result

    def close(self) -> None:
        """End the child. It has nothing to save, so it is not asked twice."""
        self._pipe.close()
        self._child.terminate()
        try:
            self._child.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()


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


def _serve(kind: Kind, descriptor: int, parent_pid: int) -> None:
    exit_when_orphaned(parent_pid)
    pipe = Connection(descriptor)
    handlers: Handlers = _handlers(kind)
    while True:
        try:
            method, arguments = json.loads(pipe.recv_bytes())
        except EOFError:
            os._exit(0)  # closed: tearing the engine down in order would only take longer
        try:
            answer: tuple[bool, Any] = (True, handlers[method](**arguments))
        except GenerationError as error:
            answer = (False, str(error))
        except Exception as error:
            answer = (False, f"{kind} failed: {type(error).__name__}: {error}")
        pipe.send_bytes(json.dumps(answer).encode())


def _handlers(kind: Kind) -> Handlers:
    if kind == "vllm":
        from humpback_pipeline.generation.vllm_process import vllm_handlers

        return vllm_handlers()
    from humpback_pipeline.generation.transformers_process import transformers_handlers

    return transformers_handlers()


if __name__ == "__main__":
    _serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))  # type: ignore[arg-type]
