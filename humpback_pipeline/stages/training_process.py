"""Training in processes of its own: their end returns all memory, and a crash stays theirs.

Several are started side by side with torchrun's variables (RANK, WORLD_SIZE, LOCAL_RANK), which
accelerate goes by. torchrun itself would put one more process in between, and a server that listens
on every interface.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import humpback_pipeline
from humpback_pipeline.models import BaseModelError
from humpback_pipeline.progress import OnProgress, Progress
from humpback_pipeline.stages.training_worker import (
    EXAMPLES,
    HELD_OUT,
    WORK,
    Failure,
    TrainingWork,
)
from humpback_pipeline.storage import OutOfSpaceError

if TYPE_CHECKING:
    from humpback_pipeline.generation import EngineSlot
    from humpback_pipeline.training import OnEvent, TrainingExample, TrainingResult

MODULE = "humpback_pipeline.stages.training_worker"
# A signal may reach another thread than the waiting one, and would not end a wait without a limit.
INTERRUPT_POLL_S = 0.5
EXIT_TIMEOUT_S = 30.0
LAST_LINES = 20
LAUNCHER_VARIABLES = (
    *("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    *("MASTER_ADDR", "MASTER_PORT"),
)
SAVE_MEMORY = (
    "Lower training.micro_batch_size or set training.gradient_checkpointing: true: it goes on from "
    "its last checkpoint (training.checkpoint_every_s). With a lower training.max_tokens, or "
    "method: lora or qlora, it starts anew."
)
_EXPECTED: dict[str, type[Exception]] = {
    error.__name__: error
    for error in (BaseModelError, FileExistsError, OutOfSpaceError, ValueError)
}


class TrainingProcessError(RuntimeError):
    """A training's process crashed, or failed by an error nobody expects; with its last lines.

    passing: why another try, which goes on from the last checkpoint, may succeed; empty if not.
    """

    def __init__(self, message: str, passing: str = "") -> None:
        super().__init__(message)
        self.passing = passing


def train_in_own_process(
    work: TrainingWork,
    examples: Sequence[TrainingExample],
    held_out: Sequence[TrainingExample],
    slot: EngineSlot,
    on_progress: OnProgress,
    on_event: OnEvent,
) -> TrainingResult:
    """`train_model` in as many processes as the recipe says, on the GPUs of `slot`.

    They end with this one, however that ends. Raises what `train_model` raises, and
    TrainingProcessError.
    """
    from humpback_pipeline.training import TrainingResult
    from humpback_pipeline.training.uses import hand_over

    n = work.settings.distributed.processes
    # Beside the model to be, whose leftovers are cleared away after a kill.
    parent = work.output_dir.parent
    with (
        tempfile.TemporaryDirectory(prefix=f".tmp-work-{os.getpid()}-", dir=parent) as name,
        ExitStack() as stack,
    ):
        folder = Path(name)
        hand_over(examples, folder, EXAMPLES)
        hand_over(held_out, folder, HELD_OUT)
        (folder / WORK).write_text(work.model_dump_json(), encoding="utf-8")
        members = [stack.enter_context(_Member(folder, rank, n, slot)) for rank in range(n)]
        return TrainingResult.from_dict(_attend(members, work.stage, on_progress, on_event))


class _Member:
    """One process of a training, to be used in a `with` block; whatever it writes is passed on."""

    def __init__(self, folder: Path, rank: int, n: int, slot: EngineSlot) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = [str(folder), str(theirs.fileno()), str(os.getpid())]
            self.child = subprocess.Popen(
                [sys.executable, "-m", MODULE, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=_environment(rank, n),
                text=True,
                errors="replace",
            )
        self.pipe = Connection(ours.detach())
        self.last_lines: deque[str] = deque(maxlen=LAST_LINES)
        slot.adopt(self.child)  # type: ignore[arg-type]
        assert self.child.stdout is not None
        self._reader = threading.Thread(
            target=self._pass_on, args=(self.child.stdout,), name=f"training {rank}", daemon=True
        )
        self._reader.start()

    def __enter__(self) -> _Member:
        return self

    def __exit__(self, *error: object) -> None:
        self.pipe.close()
        if error[0] is not None:
            self.child.kill()
        self.ended(EXIT_TIMEOUT_S)
        self.child.kill()
        self.child.wait()
        self._reader.join(1.0)

    def ended(self, timeout_s: float) -> int | None:
        """Its exit status, after waiting for it a little; None if it is alive."""
        with suppress(subprocess.TimeoutExpired):
            self.child.wait(timeout_s)
        return self.child.returncode

    def _pass_on(self, lines: IO[str]) -> None:
        for line in lines:
            self.last_lines.append(line)
            sys.stderr.write(line)


def _attend(
    members: Sequence[_Member], stage: str, on_progress: OnProgress, on_event: OnEvent
) -> dict[str, Any]:
    """Listen until all are done; return the first one's result."""
    from humpback_pipeline.training import TrainingEvent

    result: dict[str, Any] = {}
    at_work = {member.pipe: member for member in members}
    while at_work:
        for pipe in wait(list(at_work), INTERRUPT_POLL_S):
            member = at_work[pipe]  # type: ignore[index]
            try:
                kind, payload = json.loads(member.pipe.recv_bytes())
            except (EOFError, OSError):
                raise _after_death(member, stage) from None
            if kind == "progress":
                on_progress(Progress(**payload))
            elif kind == "event":
                on_event(TrainingEvent(**payload))
            elif kind == "done":
                result = payload or result
                del at_work[member.pipe]
            else:
                raise _after_failure(Failure(**payload), member, members, stage)
    return result


def _after_failure(
    failure: Failure, member: _Member, members: Sequence[_Member], stage: str
) -> Exception:
    error = error_of(failure, stage)
    if not isinstance(error, TrainingProcessError) or failure.out_of_memory:
        return error
    # A process whose neighbour died fails at talking to it; what counts is the neighbour.
    deadline_s = time.monotonic() + 2.0
    for other in members:
        status = None if other is member else other.ended(max(0.0, deadline_s - time.monotonic()))
        if status is not None and status < 0:
            return _after_death(other, stage)
    return TrainingProcessError(f"{error}\n{_quoted(member)}")


def error_of(failure: Failure, stage: str) -> Exception:
    """The error that a process has told of, as this one raises it."""
    from humpback_pipeline.training import TrainingDivergedError, TrainingMemoryError

    if failure.kind == TrainingDivergedError.__name__:
        return TrainingDivergedError(failure.what, failure.step, failure.example_ids)
    if failure.kind == TrainingMemoryError.__name__:
        return TrainingMemoryError(failure.message)
    if failure.kind in _EXPECTED:
        return _EXPECTED[failure.kind](failure.message)
    message = f"{stage} failed: {failure.kind}: {failure.message}"
    if failure.out_of_memory:
        return TrainingProcessError(f"{message}\n{SAVE_MEMORY}", "memory ran out")
    return TrainingProcessError(message)


def _after_death(member: _Member, stage: str) -> TrainingProcessError:
    status = member.ended(EXIT_TIMEOUT_S)
    how = f"exit status {status}"
    if status is not None and status < 0:
        how = signal.Signals(-status).name
        how += ", often out of memory" if status == -signal.SIGKILL else ""
    return TrainingProcessError(
        f"{stage}: its process ended unexpectedly with {how}. Run again, it goes on from its last "
        f"checkpoint. If memory ran out: {SAVE_MEMORY} {_quoted(member)}",
        "the training's process died",
    )


def _quoted(member: _Member) -> str:
    lines = "".join(member.last_lines).rstrip()
    return f"Its last lines:\n{lines}" if lines else "It wrote nothing."


def _environment(rank: int, n: int) -> dict[str, str]:
    paths = [str(Path(humpback_pipeline.__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        # The model is a local directory by now: a look at the network could only delay the start.
        "HF_HUB_OFFLINE": "1",
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path for path in paths if path),
    }
    if n == 1:  # else it would wait for others, those of a launcher around us
        return {k: v for k, v in environment.items() if k not in LAUNCHER_VARIABLES}
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // n)))
    sizes = {"WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "RANK": rank, "LOCAL_RANK": rank}
    return environment | {name: str(value) for name, value in sizes.items()}
