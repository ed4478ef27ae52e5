"""Where a model computes, which is not where parts of it wait when they are offloaded."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from humpback_pipeline.training import ranks

PARTS = ("to_local", "ds_id")


def model_of(parameter: Any) -> Any:
    return SimpleNamespace(parameters=lambda: iter([parameter]))


def test_offloaded_model_computes_on_the_processes_own_gpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    whole = torch.zeros(2)
    sharded, zero3 = (SimpleNamespace(device=whole.device, **{name: 0}) for name in PARTS)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert ranks.device_of(model_of(sharded)) == torch.device("cuda", 1)
    assert ranks.device_of(model_of(zero3)) == torch.device("cuda", 1)
    assert ranks.device_of(model_of(whole)) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert ranks.device_of(model_of(sharded)) == torch.device("cpu")
