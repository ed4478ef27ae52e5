"""Where data and Dagster's instance live, the same for every process a command starts."""

from __future__ import annotations

import os
from pathlib import Path

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.storage import write_text_atomic

INSTANCE_SETTINGS = "dagster.yaml"


def bind_homes() -> Path:
    """Make HUMPBACK_HOME absolute and DAGSTER_HOME set and existing; return the former.

    A DAGSTER_HOME without settings gets a copy of the project's: pools, run monitoring and retries
    are part of how it works.
    """
    home = load_recipe().home.expanduser().resolve()
    os.environ["HUMPBACK_HOME"] = str(home)
    folder = os.environ.get("DAGSTER_HOME") or str(home / "dagster")
    dagster_home = Path(folder).expanduser().resolve()
    os.environ["DAGSTER_HOME"] = str(dagster_home)
    dagster_home.mkdir(parents=True, exist_ok=True)
    settings = dagster_home / INSTANCE_SETTINGS
    if not settings.exists():
        text = (PACKAGE_DIR / INSTANCE_SETTINGS).read_text(encoding="utf-8")
        write_text_atomic(settings, text)
    return home
