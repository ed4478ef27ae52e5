"""On a UI's PYTHONPATH: its daemon looks at backfills every 2 seconds instead of every 30.

Dagster has the 30 in its code and no setting for it. A backfill goes in waves, so that "Materialize
all" would spend minutes of the tests asleep; nothing else about the daemon changes.
"""

from __future__ import annotations

import sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

MODULE, INTERVAL_S = "dagster._daemon.controller", 2


class QuickDaemonFinder(MetaPathFinder):
    """Finds one module as usual, and changes its constant when it has been loaded."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != MODULE:
            return None
        spec = PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        assert spec is not None
        assert spec.loader is not None
        spec.loader = QuickDaemonLoader(spec.loader)
        return spec


class QuickDaemonLoader(Loader):
    """Loads with another loader, then sets the interval."""

    def __init__(self, loader: Loader) -> None:
        self.loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        self.loader.exec_module(module)
        assert module.DEFAULT_DAEMON_INTERVAL_SECONDS == 30
        module.DEFAULT_DAEMON_INTERVAL_SECONDS = INTERVAL_S


sys.meta_path.insert(0, QuickDaemonFinder())
