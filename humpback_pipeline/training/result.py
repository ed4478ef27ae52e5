"""What a training run did: the contents of `training.json` beside every model."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import platform
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import humpback_pipeline

LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers")


@dataclass(frozen=True)
class TrainingResult:
    """Losses are mean nats per completion token.

    `loss_before` and `loss_after` are the base's and the saved model's on the same held-out
    examples (None without any). `train_curve` holds (step, loss of that step, its learning rate)
    and `held_out_curve` (steps done, loss). `kept_step`: after how many steps the saved weights
    were taken; `resumed_at`: the steps that the training went on from after it was ended.

    `n_examples` are different ones, `n_truncated` of them were cut, and an epoch uses them `n_uses`
    times. Tokens are those trained on, repeats counted, padding not; `tokens_per_s` is over the
    training steps alone, `elapsed_s` over everything in the process that finished it.
    `peak_memory_bytes` is that of the process that held most. `model_flops` are those of the whole
    training (see TrainingFlops), `utilisation` the share that `model_flops_per_s` are of the peak
    of all devices (None where that is unknown). `samples`: see Samples.facts; `samples_left_out`:
    why there are none where the recipe asks for some.
    """

    loss_before: float | None
    loss_after: float | None
    train_curve: list[tuple[int, float, float]]
    held_out_curve: list[tuple[int, float]]
    n_examples: int
    n_held_out: int
    n_truncated: int
    steps: int
    batch_size: int
    micro_batch_size: int
    n_tokens: int
    n_completion_tokens: int
    tokens_per_s: float
    training_s: float
    elapsed_s: float
    peak_memory_bytes: int
    examples_sha256: str
    held_out_sha256: str
    n_uses: int = 0
    kept_step: int = 0
    resumed_at: list[int] = field(default_factory=list)
    n_processes: int = 1
    model_flops: float = 0.0
    model_flops_per_s: float = 0.0
    peak_flops_per_s: float | None = None
    utilisation: float | None = None
    samples: list[dict[str, str]] = field(default_factory=list)
    samples_left_out: str = ""
    hardware: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, facts: dict[str, Any]) -> TrainingResult:
        """The result that `as_dict` gave, after JSON."""
        curves = {
            name: [tuple(point) for point in facts[name]]
            for name in ("train_curve", "held_out_curve")
        }
        return cls(**{**facts, **curves})

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain JSON values."""
        return dataclasses.asdict(self)


def hardware_facts() -> dict[str, Any]:
    """The device that trains: its kind, name and number, and the machine's memory."""
    import psutil
    import torch

    cuda = torch.cuda.is_available()
    return {
        "device": "cuda" if cuda else "cpu",
        "device_name": torch.cuda.get_device_name(0) if cuda else _cpu_name(),
        "n_devices": torch.cuda.device_count() if cuda else 1,
        "cpu_threads": torch.get_num_threads(),
        "memory_bytes": psutil.virtual_memory().total,
    }


def library_versions() -> dict[str, str]:
    """Versions of what training rests on."""
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    own = humpback_pipeline.__version__
    return {"python": platform.python_version(), "humpback_pipeline": own, **versions}


def peak_memory_bytes() -> int:
    """Most GPU memory allocated, or the most memory this process has ever held on a CPU."""
    import torch

    if torch.cuda.is_available():
        return int(torch.cuda.max_memory_allocated())
    # getrusage begins with what the parent held when it started this process (Linux keeps the peak
    # over an exec); the status file begins anew.
    about = Path("/proc/self/status")
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    peaks = [int(line.split()[1]) * 1_024 for line in lines if line.startswith("VmHWM:")]
    if peaks:
        return peaks[0]
    unit = 1 if platform.system() == "Darwin" else 1_024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _cpu_name() -> str:
    about = Path("/proc/cpuinfo")
    lines = about.read_text(encoding="utf-8").splitlines() if about.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
