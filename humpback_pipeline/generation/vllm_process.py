"""The vLLM engine in a child process, so that closing it returns every byte, GPU context included.

The child is this module run as a program. Parent and child speak over a socket pair: (method,
arguments) one way, (ok, result) the other.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import humpback_pipeline
from humpback_pipeline.generation.engine import GenerationError
from humpback_pipeline.generation.process import exit_when_orphaned
from humpback_pipeline.generation.vllm_core import ENVIRONMENT, Completion, VllmCore, VllmModel
from humpback_pipeline.recipe import SamplingRecipe, VllmRecipe

CLOSE_TIMEOUT_S = 10.0


class VllmProcess:
    """As `VllmCore`, in a child process. `pid` is the child's."""

    def __init__(self, model: VllmModel, settings: VllmRecipe, seed: int) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            command = [sys.executable, "-m", "humpback_pipeline.generation.vllm_process"]
            self._child = subprocess.Popen(
                [*command, str(theirs.fileno()), str(os.getpid())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_child_environment(),
            )
        self._pipe = Connection(ours.detach())
        self.pid = self._child.pid
        try:
            self._ask("start", model, settings, seed)
        except BaseException:
            self.close()
            raise

    def complete(self, prompts: Sequence[list[int]], sampling: SamplingRecipe) -> list[Completion]:
        """See `VllmCore.complete`."""
        return list(self._ask("complete", list(prompts), sampling))

    def choice_logprobs(
        self, prompts: Sequence[list[int]], token_ids: Sequence[list[int]]
    ) -> list[list[float]]:
        """See `VllmCore.choice_logprobs`."""
        return list(self._ask("choice_logprobs", list(prompts), list(token_ids)))

    def close(self) -> None:
        """End the child. It has nothing to save, so it is not asked twice."""
        self._pipe.close()
        self._child.terminate()
        try:
            self._child.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()

    def _ask(self, method: str, *arguments: Any) -> Any:
        try:
            self._pipe.send((method, arguments))
            ok, result = self._pipe.recv()
        except (EOFError, OSError) as error:
            with suppress(subprocess.TimeoutExpired):
                self._child.wait(1.0)
            raise GenerationError(
                f"the vLLM process ended unexpectedly (exit status {self._child.returncode}; a "
                "negative one is a signal, -9 often means out of memory). Its messages are in the "
                "log above; lower generation.vllm.max_concurrent_sequences, max_model_tokens or "
                "the memory settings."
            ) from error
        if not ok:
            raise GenerationError(result)
        return result


def _child_environment() -> dict[str, str]:
    # The model is a local directory by now: a look at the network could only delay the start.
    paths = [str(Path(humpback_pipeline.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    return {
        **ENVIRONMENT,
        "HF_HUB_OFFLINE": "1",
        "PYTHONWARNINGS": "ignore",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }


def _serve(descriptor: int, parent_pid: int) -> None:
    exit_when_orphaned(parent_pid)
    pipe = Connection(descriptor)
    core: VllmCore | None = None
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            os._exit(0)  # closed: tearing the engine down in order would only take longer
        try:
            if method == "start":
                core, result = VllmCore(*arguments), None
            else:
                result = getattr(core, method)(*arguments)
            pipe.send((True, result))
        except GenerationError as error:
            pipe.send((False, str(error)))
        except Exception as error:
            pipe.send((False, f"vLLM failed: {type(error).__name__}: {error}"))


if __name__ == "__main__":
    _serve(int(sys.argv[1]), int(sys.argv[2]))
