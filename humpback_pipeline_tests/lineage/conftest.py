"""A whole home, written once and copied for each test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from small_home import SmallHome


@pytest.fixture(scope="session")
def whole_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lineage") / "home"
    SmallHome(folder).everything()
    return folder


@pytest.fixture
def home(whole_home: Path, tmp_path: Path) -> SmallHome:
    """Two iterations over shards a and b; one version of everything, older ones give up data."""
    shutil.copytree(whole_home, tmp_path / "home")
    return SmallHome(tmp_path / "home", keep=1)
