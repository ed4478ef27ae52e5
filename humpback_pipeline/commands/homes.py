"""Where data and Dagster's instance live, the same for every process a command starts."""

from __future__ import annotations

import os
from pathlib import Path

from humpback_pipeline.recipe import load_recipe


def bind_homes() -> Path:
    """Make HUMPBACK_HOME absolute and DAGSTER_HOME set and existing; return the former."""
    home = load_recipe().home.expanduser().resolve()
    os.environ["HUMPBACK_HOME"] = str(home)
    dagster_home = Path(os.environ.setdefault("DAGSTER_HOME", str(home / "dagster")))
    dagster_home.mkdir(parents=True, exist_ok=True)
    return home
