"""Does a training fit on the devices of this machine? Asked before anything is loaded."""

from __future__ import annotations

import logging
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humpback_pipeline.recipe import TrainingRecipe
from humpback_pipeline.training.budget import planned_micro_batch_size
from humpback_pipeline.training.counts import count_examples
from humpback_pipeline.training.errors import TrainingMemoryError
from humpback_pipeline.training.examples import TrainingExample
from humpback_pipeline.training.memory import (
    Device,
    MemoryEstimate,
    estimate_memory,
    in_gib,
)
from humpback_pipeline.training.model_shape import ModelShape, model_shape

CGROUP = Path("/sys/fs/cgroup")
NVIDIA_SMI_TIMEOUT_S = 20.0
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Room:
    """Memory for one process of a training. `n_bytes`: None where it cannot be found out."""

    device: Device
    name: str
    n_bytes: int | None


def free_room(settings: TrainingRecipe) -> Room:
    """What is free now for this process of a training; starts CUDA where there is a GPU."""
    import torch

    if not torch.cuda.is_available():
        return _of_machine(settings)
    index = torch.cuda.current_device()
    # What torch holds without using it is free as well.
    unused = torch.cuda.memory_reserved(index) - torch.cuda.memory_allocated(index)
    free = torch.cuda.mem_get_info(index)[0] + unused
    return Room("cuda", torch.cuda.get_device_name(index), free)


def whole_room(settings: TrainingRecipe) -> Room:
    """As `free_room`, but all of the smallest visible GPU, found out without starting CUDA.

    CUDA would take half a GiB of it for as long as the asking process lives.
    """
    import torch

    n = torch.cuda.device_count()
    if n == 0:
        return _of_machine(settings)
    return Room("cuda", "the GPU" if n == 1 else f"each of {n} GPUs", _smallest_gpu())


def check_fits(
    base: Path,
    settings: TrainingRecipe,
    room: Room,
    *,
    longest_tokens: int | None = None,
    n_examples: int | None = None,
    trust_remote_code: bool = False,
) -> str:
    """Say in a line what training the model with `base`'s config.json takes, and what there is.

    longest_tokens, n_examples: of the longest example, and of different ones, where that is known.
    Raises TrainingMemoryError if that is not enough. A model whose config does not say how large
    its layers are passes.
    """
    try:
        shape = model_shape(base, settings, trust_remote_code=trust_remote_code)
    except LookupError as error:
        return f"not estimated: {error}"
    needs = _estimate(shape, settings, room, longest_tokens, n_examples)
    line = f"{settings.method}, about {in_gib(needs.total)} at the peak"
    if room.n_bytes is None:
        return f"{line}; how much there is, nvidia-smi did not say"
    offloaded = _beyond_machine(needs)
    if needs.total <= room.n_bytes and not offloaded:
        return f"{line}, of {in_gib(room.n_bytes)} ({room.name})"
    part, size = needs.largest()
    what = offloaded or (
        f"it takes about {in_gib(needs.total)} at its peak, and {room.name} has "
        f"{in_gib(room.n_bytes)}. The largest part: {part}, {in_gib(size)}"
    )
    lines = [f"this training will not fit: {what}.", needs.table(), "What would help:"]
    tokens = longest_tokens
    for words, other in _remedies(base, settings, room, tokens, n_examples, trust_remote_code):
        still = other.total > room.n_bytes or bool(_beyond_machine(other))
        lines.append(f"  {words} → {in_gib(other.total)}{', still too much' if still else ''}")
    raise TrainingMemoryError("\n".join(lines))


def check_examples_fit(
    base: Path,
    settings: TrainingRecipe,
    examples: Sequence[TrainingExample],
    n_examples: int,
    *,
    trust_remote_code: bool = False,
) -> None:
    """As `check_fits`, for a training that is about to load its model, by what is free now.

    n_examples: different ones.
    """
    said = check_fits(
        base,
        settings,
        free_room(settings),
        longest_tokens=int(count_examples(examples).n_tokens.max()),
        n_examples=n_examples,
        trust_remote_code=trust_remote_code,
    )
    logger.info("memory of this training: %s", said)


def _estimate(
    shape: ModelShape,
    settings: TrainingRecipe,
    room: Room,
    longest_tokens: int | None,
    n_examples: int | None,
) -> MemoryEstimate:
    """Of the micro-batch that is trained with: no more than a device's share of the batch."""
    rows = planned_micro_batch_size(settings, n_examples, settings.distributed.processes)
    planned = settings.model_copy(update={"micro_batch_size": rows})
    return estimate_memory(shape, planned, room.device, longest_tokens=longest_tokens)


def _remedies(
    base: Path,
    settings: TrainingRecipe,
    room: Room,
    longest_tokens: int | None,
    n_examples: int | None,
    trust_remote_code: bool,
) -> Iterator[tuple[str, MemoryEstimate]]:
    """Each change of the recipe that saves memory, and what the training would then take."""
    shape = model_shape(base, settings, trust_remote_code=trust_remote_code)
    now = _estimate(shape, settings, room, longest_tokens, n_examples)
    for words, fields in _changes(settings, room.device):
        changed = settings.model_copy(update=fields)
        if "method" in fields:
            shape = model_shape(base, changed, trust_remote_code=trust_remote_code)
        other = _estimate(shape, changed, room, longest_tokens, n_examples)
        if other.total < now.total:
            yield words, other


def _changes(settings: TrainingRecipe, device: Device) -> Iterator[tuple[str, dict[str, Any]]]:
    chosen = settings.distributed
    if settings.micro_batch_size > 1:
        yield "training.micro_batch_size: 1", {"micro_batch_size": 1}
    if not settings.gradient_checkpointing:
        yield "training.gradient_checkpointing: true", {"gradient_checkpointing": True}
    if settings.max_tokens >= 128:
        half = settings.max_tokens // 2
        yield f"training.max_tokens: {half}", {"max_tokens": half}
    if device == "cuda" and settings.method != "qlora":
        for n in (2, 4, 8):
            if n > chosen.processes or chosen.strategy not in ("fsdp2", "zero3"):
                update = {"processes": n, "strategy": "fsdp2"}
                words = f"training.distributed: {{processes: {n}, strategy: fsdp2}}"
                yield words, {"distributed": chosen.model_copy(update=update)}
        if chosen.strategy in ("fsdp2", "zero3") and not chosen.cpu_offload:
            offload = chosen.model_copy(update={"cpu_offload": True})
            yield "training.distributed.cpu_offload: true", {"distributed": offload}
    if settings.method == "full":
        yield "training.method: lora", {"method": "lora"}
    if settings.method != "qlora":
        # A 4-bit model is not shared out.
        strategy = "ddp" if chosen.processes > 1 else "none"
        whole = chosen.model_copy(update={"strategy": strategy, "cpu_offload": False})
        yield "training.method: qlora", {"method": "qlora", "distributed": whole}


def _of_machine(settings: TrainingRecipe) -> Room:
    n = settings.distributed.processes
    name = "this machine" if n == 1 else f"each of {n} processes on this machine"
    return Room("cpu", name, free_memory_bytes() // n)


def _beyond_machine(needs: MemoryEstimate) -> str:
    """What is wrong with the share that is offloaded; empty if nothing is."""
    free = free_memory_bytes() if needs.host else 0
    if needs.host <= free:
        return ""
    return (
        f"cpu_offload puts {in_gib(needs.host)} into the machine's memory, of which "
        f"{in_gib(free)} is free"
    )


def free_memory_bytes() -> int:
    """Memory of this machine that a process could get now, within its container's limit."""
    import psutil

    available = int(psutil.virtual_memory().available)
    try:
        limit = (CGROUP / "memory.max").read_text(encoding="ascii").strip()
        used = int((CGROUP / "memory.current").read_text(encoding="ascii"))
        lines = (CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
        # The kernel drops cached files before it lets a process go without.
        cached = sum(int(line.split()[1]) for line in lines if line.startswith("inactive_file "))
    except (OSError, ValueError):
        return available
    return available if limit == "max" else max(0, min(available, int(limit) - used + cached))


def _smallest_gpu() -> int | None:
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    if visible := os.environ.get("CUDA_VISIBLE_DEVICES"):
        command += ["-i", visible]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=NVIDIA_SMI_TIMEOUT_S, check=True
        )
        return min(int(line) for line in done.stdout.split()) << 20
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
