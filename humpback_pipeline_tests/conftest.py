"""Settings for all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

# Before torch is imported: spinning OpenMP threads would make tests crawl on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# `make` exports a recipe, and whoever runs the tests may have named data of their own.
for _name in [name for name in os.environ if name.startswith("HUMPBACK_")]:
    del os.environ[_name]


@pytest.fixture(autouse=True)
def _no_instance_of_an_earlier_test(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Dagster's storage of definitions' state is a global that an ended instance can leave set.

    Or bring back: one that was not closed puts its predecessor's in again when it is collected, in
    the middle of whatever test runs then. A storage whose instance is gone counts as none.
    """
    if "dagster" not in sys.modules:
        yield
        return
    from dagster._core.storage.defs_state.base import DefsStateStorage, set_defs_state_storage

    current = DefsStateStorage.get

    def of_a_living_instance() -> DefsStateStorage[Any] | None:
        storage = current()
        instance = getattr(storage, "_instance_weakref", None)
        return None if instance is not None and instance() is None else storage

    monkeypatch.setattr(DefsStateStorage, "get", staticmethod(of_a_living_instance))
    with set_defs_state_storage(None):
        yield
