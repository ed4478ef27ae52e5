"""The processes of one training, as each of them sees the others; alone, all of it does nothing."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

# A measurement or a checkpoint of a large model may keep the others waiting.
TIMEOUT = timedelta(minutes=60)


def join(rendezvous: Path) -> None:
    """Meet the other processes in the file `rendezvous`; RANK and WORLD_SIZE say who this is.

    A file, as nothing then listens but on the loopback interface: torch's TCPStore, torchrun's way,
    listens on every one. Of one machine only.
    """
    import torch
    from torch import distributed

    if n_planned() == 1 or distributed.is_initialized():
        return
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    for variable in ("GLOO_SOCKET_IFNAME", "NCCL_SOCKET_IFNAME"):
        os.environ.setdefault(variable, "lo")
    distributed.init_process_group(
        "cpu:gloo,cuda:nccl" if cuda else "gloo",
        init_method=f"file://{rendezvous}",
        rank=int(os.environ["RANK"]),
        world_size=n_planned(),
        timeout=TIMEOUT,
    )


def n_planned() -> int:
    """How many processes this one was started as one of."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def n_processes() -> int:
    """Processes of this training."""
    distributed = _group()
    return int(distributed.get_world_size()) if distributed else 1


def rank() -> int:
    """Number of this process, from 0."""
    distributed = _group()
    return int(distributed.get_rank()) if distributed else 0


def is_main() -> bool:
    """Whether this is the process that writes and reports."""
    return rank() == 0


def device_of(model: Any) -> Any:
    """The torch.device that this process computes with `model` on."""
    import torch

    parameter = next(model.parameters())
    # What FSDP2 (`to_local`) or DeepSpeed (`ds_id`) has offloaded lies on the CPU between layers.
    is_part = hasattr(parameter, "to_local") or hasattr(parameter, "ds_id")
    if is_part and torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    return parameter.device


def wait_for_all() -> None:
    """Return once every process has come here."""
    if distributed := _group():
        distributed.barrier()


def total(value: float) -> float:
    """Sum of the values of all processes."""
    return _reduced(value, "SUM")


def largest(value: float) -> float:
    """Largest of the values of all processes."""
    return _reduced(value, "MAX")


def told_by_main(text: str) -> str:
    """What the main process says here, in every process."""
    import torch

    distributed = _group()
    if not distributed:
        return text
    n_bytes = int(largest(float(len(text.encode())) if is_main() else 0.0))
    content = list(text.encode()) if is_main() else [0] * n_bytes
    letters = torch.tensor(content, dtype=torch.uint8)
    distributed.broadcast(letters, src=0)
    return bytes(letters.tolist()).decode()


def _reduced(value: float, how: str) -> float:
    import torch

    distributed = _group()
    if not distributed:
        return value
    number = torch.tensor([value], dtype=torch.float64)
    distributed.all_reduce(number, op=getattr(distributed.ReduceOp, how))
    return float(number.item())


def _group():  # type: ignore[no-untyped-def]
    from torch import distributed

    return distributed if distributed.is_available() and distributed.is_initialized() else None
