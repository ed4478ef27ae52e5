"""Live tests: a tiny model made once, and UIs that are always ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from live_ui import LiveUi
from projects import make_project
from tiny_models import save_trainable_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_trainable_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def open_ui(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., LiveUi]]:
    """Start UIs of new projects; keywords as of `make_project`, and `environment`."""
    opened: list[LiveUi] = []

    def start(environment: dict[str, str] | None = None, **project: Any) -> LiveUi:
        folder = tmp_path_factory.mktemp("live")
        made = make_project(folder / "project", model=tiny_model, **project)
        live = LiveUi(made, environment or {})
        opened.append(live)
        live.start()
        return live

    try:
        yield start
    finally:
        for live in opened:
            live.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    """Show what the UI, its runs and the browser said beside a failed test."""
    report = yield
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            if hasattr(value, "diagnosis"):
                report.sections.append((name, value.diagnosis()))
    return report
