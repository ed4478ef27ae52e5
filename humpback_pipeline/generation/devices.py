"""Which GPUs an engine runs on: leases that no two processes of a machine hold at once.

A lease is a file lock, which the kernel releases when its holder dies, however it dies.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from filelock import FileLock, Timeout

from humpback_pipeline.generation.engine import GenerationError

VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"
LEASE_TIMEOUT_S = 24 * 3_600.0
POLL_S = 1.0
END_TIMEOUT_S = 10.0


@dataclass
class EngineSlot:
    """Where one engine runs. Ending the slot ends every process that was started on it.

    gpus: as CUDA_VISIBLE_DEVICES names them; empty on a CPU. n_slots: how many of its kind share
    this machine's CPUs. alone: the only one, so its engine may share the caller's process.
    """

    gpus: tuple[str, ...] = ()
    n_slots: int = 1
    _processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _ended: bool = False

    @property
    def alone(self) -> bool:
        """Whether there is no other slot beside this one."""
        return self.n_slots == 1

    @property
    def environment(self) -> dict[str, str]:
        """What a child process on this slot has in its environment."""
        if self.gpus:
            return {VISIBLE_DEVICES: ",".join(self.gpus)}
        if self.alone:
            return {}
        threads = str(max(1, _n_cpus() // self.n_slots))
        return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", threads)}

    @property
    def torch_device(self) -> str:
        """What torch calls the slot's first GPU in this process; `cpu` without one."""
        visible = visible_gpus()
        own = next((i for i, name in enumerate(visible) if name in self.gpus), None)
        return f"cuda:{own}" if own is not None else "cpu"

    @property
    def ended(self) -> bool:
        """Whether nothing may be started on it any more."""
        return self._ended

    @contextlib.contextmanager
    def in_this_process(self) -> Iterator[None]:
        """Show this process only the slot's GPUs; to be entered before CUDA is initialised."""
        before = os.environ.get(VISIBLE_DEVICES)
        if self.gpus:
            os.environ[VISIBLE_DEVICES] = ",".join(self.gpus)
        try:
            yield
        finally:
            if self.gpus:
                os.environ.pop(VISIBLE_DEVICES)
                if before is not None:
                    os.environ[VISIBLE_DEVICES] = before

    def adopt(self, process: subprocess.Popen[bytes]) -> None:
        """Have a process end with the slot; at once if that has ended. Callable from any thread."""
        self._processes.append(process)
        if self._ended:
            process.kill()

    def end(self) -> None:
        """Kill what runs on the slot. An engine has nothing to save."""
        self._ended = True
        for process in list(self._processes):
            process.kill()
        for process in list(self._processes):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END_TIMEOUT_S)


@contextlib.contextmanager
def lease_devices(
    n: int | None = None,
    tensor_parallel_size: int = 1,
    folder: Path | None = None,
    timeout_s: float = LEASE_TIMEOUT_S,
) -> Iterator[list[EngineSlot]]:
    """Slots for at most `n` engines (None: as many as GPUs are free; on a CPU one), at least one.

    Each has `tensor_parallel_size` GPUs. If not enough are free for one, this waits. `folder` holds
    the locks; by default one of this machine and user, as GPUs belong to a machine and not to a
    home. On leaving, what runs on the slots is ended. Raises GenerationError.
    """
    gpus = visible_gpus()
    if not gpus:
        slots = [EngineSlot(n_slots=n or 1) for _ in range(n or 1)]
        with _ending(slots):
            yield slots
        return
    if len(gpus) < tensor_parallel_size:
        raise GenerationError(
            f"generation.vllm.tensor_parallel_size is {tensor_parallel_size}, but only {len(gpus)} "
            f"GPUs are visible ({', '.join(gpus)}); lower it or correct {VISIBLE_DEVICES}."
        )
    most = len(gpus) // tensor_parallel_size * tensor_parallel_size
    wanted = min(most, n * tensor_parallel_size) if n else most
    locks = _lock_some(gpus, wanted, tensor_parallel_size, folder or _lock_folder(), timeout_s)
    try:
        names = list(locks)
        groups = [
            tuple(names[start : start + tensor_parallel_size])
            for start in range(0, len(names), tensor_parallel_size)
        ]
        slots = [EngineSlot(group, len(groups)) for group in groups]
        with _ending(slots):
            yield slots
    finally:
        for lock in locks.values():
            lock.release()


def visible_gpus() -> tuple[str, ...]:
    """This process's GPUs as CUDA_VISIBLE_DEVICES names them. CUDA is not initialised."""
    named = os.environ.get(VISIBLE_DEVICES)
    import torch

    n_visible = torch.cuda.device_count()
    if named is None:
        return tuple(str(index) for index in range(n_visible))
    # CUDA ignores everything after the first name it does not know; device_count has done so.
    return tuple(name.strip() for name in named.split(","))[:n_visible]


@contextlib.contextmanager
def _ending(slots: list[EngineSlot]) -> Iterator[None]:
    try:
        yield
    finally:
        for slot in slots:
            slot.end()


def _lock_some(
    gpus: tuple[str, ...], wanted: int, group: int, folder: Path, timeout_s: float
) -> dict[str, FileLock]:
    """Lock up to `wanted` GPUs, a multiple of `group`; wait until one group is free."""
    folder.mkdir(parents=True, exist_ok=True)
    deadline_s = time.monotonic() + timeout_s
    while True:
        held = _lock_free(gpus, wanted, folder)
        surplus = list(held)[len(held) // group * group :]
        for name in surplus:
            held.pop(name).release()
        if held:
            return held
        if time.monotonic() > deadline_s:
            raise GenerationError(
                f"none of the GPUs {', '.join(gpus)} became free within {timeout_s:.0f} s (locks "
                f"in {folder}); stop the run that uses them, or give each run GPUs of its own by "
                f"{VISIBLE_DEVICES}."
            )
        time.sleep(POLL_S)


def _lock_free(gpus: tuple[str, ...], wanted: int, folder: Path) -> dict[str, FileLock]:
    held: dict[str, FileLock] = {}
    try:
        for name in gpus:
            if len(held) == wanted:
                break
            lock = FileLock(folder / f"gpu-{name.replace('/', '_')}.lock", thread_local=False)
            with contextlib.suppress(Timeout):
                lock.acquire(timeout=0)
                held[name] = lock
    except BaseException:
        for lock in held.values():
            lock.release()
        raise
    return held


def _lock_folder() -> Path:
    return Path(tempfile.gettempdir()) / f"humpback-gpus-{getpass.getuser()}"


def _n_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
