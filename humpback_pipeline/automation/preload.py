"""Imported last by the server that steps are forked from: what every step would import by itself.

Dagster's SQLite storages import SQLAlchemy and Alembic on first use and pages are drawn with
matplotlib; in each step's process that took up to a second. The collector's freeze matters as
much: a full collection in a step would touch every object of the modules loaded here, and each
page touched is copied.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib

MODULES = [
    "dagster._core.storage.sqlite_storage",
    "dagster._core.storage.local_compute_log_manager",
    "alembic.script",
    "sqlalchemy.dialects.sqlite.pysqlite",
    "matplotlib.pyplot",
    "matplotlib.backends.backend_agg",
]

for name in MODULES:
    with contextlib.suppress(ImportError):  # then the step that needs it says so
        importlib.import_module(name)
gc.collect()
gc.freeze()
# Or libraries would find their objects still there at the end, and print a line for each.
atexit.register(gc.unfreeze)
