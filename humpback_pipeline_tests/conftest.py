"""Settings for all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

# Before torch is imported: spinning OpenMP threads would make tests crawl on a busy machine.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(autouse=True)
def _no_instance_of_an_earlier_test() -> Iterator[None]:
    """Dagster's storage of definitions' state is a global that an ended instance can leave set."""
    if "dagster" not in sys.modules:
        yield
        return
    from dagster._core.storage.defs_state.base import set_defs_state_storage

    with set_defs_state_storage(None):
        yield
