"""What a training is at one step, in files: safetensors and JSON, never pickle.

A file bears the number of the process that wrote it. Weights and optimizer are the main process's,
unless the model is sharded: then each has its own part, and as many processes must read them again.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from humpback_pipeline.training import ranks

GROUP_FIELDS = ("lr", "initial_lr", "weight_decay")


def trainable(model: Any) -> Iterator[tuple[str, Any]]:
    """Names and parameters that training changes, as the process holds them."""
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            yield name, parameter


def trainable_bytes(model: Any) -> int:
    """Size of what training changes, of all processes together where they share it out."""
    return sum(value.numel() * value.element_size() for _, value in trainable(model))


def is_sharded(model: Any) -> bool:
    """Whether each process holds only a part of the parameters."""
    return any(_is_part(parameter) for _, parameter in trainable(model))


def share_out_again(model: Any) -> None:
    """Leave each process its part alone: FSDP2 keeps the outermost whole after a forward pass.

    Only a backward pass would end that. Every process of a training calls it.
    """
    if ranks.n_processes() == 1:
        return
    from torch.distributed.fsdp import FSDPModule

    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def save_weights(model: Any, folder: Path) -> None:
    """Write the trainable parameters, exactly as they are."""
    share_out_again(model)
    if writer := _writer(model):
        _save({name: _local(value) for name, value in trainable(model)}, folder, "weights", writer)


def load_weights(model: Any, folder: Path) -> None:
    """Put back what `save_weights` has written. Raises KeyError for another model's."""
    import torch

    share_out_again(model)
    saved = _load(folder, "weights", model)
    with torch.no_grad():
        for name, parameter in trainable(model):
            _local(parameter).copy_(saved[name])


def save_optimizer(model: Any, optimizer: Any, scheduler: Any, folder: Path) -> None:
    """Write the optimizer's moments by parameter's name, its groups' settings, the scheduler."""
    share_out_again(model)
    inner = _inner(optimizer)
    if writer := _writer(model):
        moments = {
            f"{name}.{key}": _local(value)
            for name, parameter in trainable(model)
            for key, value in inner.state[parameter].items()
        }
        _save(moments, folder, "optimizer", writer)
    if ranks.is_main():
        groups = [{key: group.get(key) for key in GROUP_FIELDS} for group in inner.param_groups]
        facts = {"groups": groups, "scheduler": scheduler.state_dict()}
        (folder / "optimizer.json").write_text(json.dumps(facts), encoding="utf-8")


def load_optimizer(model: Any, optimizer: Any, scheduler: Any, folder: Path) -> None:
    """Put back what `save_optimizer` has written."""
    share_out_again(model)
    inner = _inner(optimizer)
    saved = _load(folder, "optimizer", model)
    moments: dict[str, dict[str, Any]] = {}
    for key, value in saved.items():
        name, _, kind = key.rpartition(".")
        moments.setdefault(name, {})[kind] = value
    names = {parameter: name for name, parameter in trainable(model)}
    facts = json.loads((folder / "optimizer.json").read_text(encoding="utf-8"))
    state = inner.state_dict()
    parameters = [parameter for group in inner.param_groups for parameter in group["params"]]
    state["state"] = {
        index: {kind: _as(parameter, value) for kind, value in moments[names[parameter]].items()}
        for index, parameter in enumerate(parameters)
        if names.get(parameter) in moments
    }
    for group, settings in zip(state["param_groups"], facts["groups"], strict=True):
        group.update({key: value for key, value in settings.items() if value is not None})
    inner.load_state_dict(state)
    scheduler.load_state_dict(facts["scheduler"])


def save_random_states(folder: Path) -> None:
    """Write the states of this process's random number generators."""
    import torch

    version, numbers, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    states = {
        "python": [version, list(numbers), gauss],
        "numpy": [kind, np.asarray(keys).tolist(), position, has_gauss, cached],
        "torch": torch.get_rng_state().tolist(),
        "cuda": torch.cuda.get_rng_state().tolist() if torch.cuda.is_available() else None,
    }
    path = folder / f"random-{ranks.rank():05d}.json"
    path.write_text(json.dumps(states), encoding="utf-8")


def load_random_states(folder: Path) -> None:
    """Put back what `save_random_states` has written."""
    import torch

    path = folder / f"random-{ranks.rank():05d}.json"
    states = json.loads(path.read_text(encoding="utf-8"))
    version, numbers, gauss = states["python"]
    random.setstate((version, tuple(numbers), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(torch.tensor(states["torch"], dtype=torch.uint8))
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(torch.tensor(states["cuda"], dtype=torch.uint8))


def _writer(model: Any) -> str | None:
    """What this process calls its file; None if it has none to write."""
    if is_sharded(model) or ranks.is_main():
        return f"{ranks.rank():05d}"
    return None


def _save(tensors: dict[str, Any], folder: Path, what: str, writer: str) -> None:
    from safetensors.torch import save_file

    whole = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    save_file(whole, folder / f"{what}-{writer}.safetensors")


def _load(folder: Path, what: str, model: Any) -> dict[str, Any]:
    from safetensors.torch import load_file

    number = ranks.rank() if is_sharded(model) else 0
    return dict(load_file(folder / f"{what}-{number:05d}.safetensors"))


def _is_part(tensor: Any) -> bool:
    return hasattr(tensor, "to_local")


def _local(tensor: Any) -> Any:
    return tensor.to_local() if _is_part(tensor) else tensor


def _as(parameter: Any, value: Any) -> Any:
    """`value` as the optimizer keeps it for `parameter`: in parts if that is."""
    if not _is_part(parameter) or value.ndim == 0:
        return value
    from torch.distributed.tensor import DTensor

    return DTensor.from_local(
        value.to(parameter.to_local().device),
        parameter.device_mesh,
        parameter.placements,
        shape=parameter.shape,
        stride=parameter.stride(),
    )


def _inner(optimizer: Any) -> Any:
    return getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
