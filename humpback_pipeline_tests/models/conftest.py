from pathlib import Path

import pytest
from tiny_models import save_tiny_model


@pytest.fixture(scope="session")
def shared_tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model that no test changes."""
    return save_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def tiny_model(tmp_path: Path) -> Path:
    """A tiny model that a test may damage."""
    return save_tiny_model(tmp_path / "tiny")
