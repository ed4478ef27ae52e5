"""Writes down when a stage function is at work, in whatever process and by whatever caller.

Python imports a module of this name as it starts, if it finds one: the benchmark puts this folder
into PYTHONPATH, so that nothing in the pipeline has to know of it. A line of $STAGE_TRACE is
{"pid", "name", "start", "end"}, times in Unix seconds.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from types import ModuleType
from typing import Any

TRACE = os.environ.get("STAGE_TRACE", "")
STAGES = "humpback_pipeline.stages."
# They read what is there for the pages of the UI, or to see whether there is anything to do.
NOT_WORK = {"humpback_pipeline.stages.summary", "humpback_pipeline.stages.workspace"}


class StageFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of the stages, and traces their functions once they are loaded."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """As the usual finder, but for the loader."""
        if not name.startswith(STAGES) or name in NOT_WORK:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = TracingLoader(name, spec.loader.path)
        return spec


class TracingLoader(importlib.machinery.SourceFileLoader):
    """Loads a module and wraps its public functions that work on a workspace."""

    def exec_module(self, module: ModuleType) -> None:
        """As usual, then wrap."""
        super().exec_module(module)
        for name, function in list(vars(module).items()):
            own = inspect.isfunction(function) and function.__module__ == module.__name__
            if own and not name.startswith("_"):
                first = next(iter(inspect.signature(function).parameters), "")
                if first == "workspace":
                    setattr(module, name, traced(function))


def traced(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, and a line for each call; for a generator, for each step of it."""
    if inspect.isgeneratorfunction(function):

        @functools.wraps(function)
        def generator(*arguments: Any, **keywords: Any) -> Iterator[Any]:
            items = function(*arguments, **keywords)
            while True:
                start = time.time()
                try:
                    item = next(items)
                except StopIteration:
                    return
                finally:
                    write_line(function.__name__, start)
                yield item

        return generator

    @functools.wraps(function)
    def call(*arguments: Any, **keywords: Any) -> Any:
        start = time.time()
        try:
            return function(*arguments, **keywords)
        finally:
            write_line(function.__name__, start)

    return call


def write_line(name: str, start: float) -> None:
    """One write, so that lines of two processes do not mix."""
    line = {"pid": os.getpid(), "name": name, "start": start, "end": time.time()}
    descriptor = os.open(TRACE, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(descriptor, f"{json.dumps(line)}\n".encode())
    finally:
        os.close(descriptor)


if TRACE:
    sys.meta_path.insert(0, StageFinder())
