"""Dagster's handle on the workspace: which recipe, with which fields overridden for this run."""

import multiprocessing

import dagster as dg
from pydantic import Field

from humpback_pipeline.generation.process import die_with_parent
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace


class WorkspaceResource(dg.ConfigurableResource):
    """Opens the workspace of a recipe."""

    recipe: str = Field(
        default="",
        description="A bundled recipe's name or a YAML file; empty: $HUMPBACK_RECIPE, else demo.",
    )
    overrides: dict[str, str] = Field(
        default={},
        description=(
            "Recipe fields for this run only, such as {'training.steps': '20'}; values in YAML. "
            "curation.iterations shapes the graph and can only be set in the recipe."
        ),
    )

    def open(self) -> Workspace:
        """Load and validate the recipe; a step process also binds its life to its parent's."""
        if multiprocessing.parent_process() is not None:
            die_with_parent()
        return Workspace(load_recipe(self.recipe or None, self.overrides))
