"""`push`: upload the last curated set, the last model or both to the hub that the recipe names."""

from __future__ import annotations

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.hub import push


def push_to_hub() -> int:
    """Push what `exports.hub` says; one line for each upload."""
    for line in push(Workspace(load_recipe())):
        print(line, flush=True)
    return 0
