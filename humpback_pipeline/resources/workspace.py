"""Dagster's handle on the workspace: which recipe, with which fields changed for this run."""

import multiprocessing
from typing import Any, ClassVar

import dagster as dg
from pydantic import Field, create_model

from humpback_pipeline.generation.process import die_with_parent
from humpback_pipeline.recipe import Recipe, load_recipe
from humpback_pipeline.recipe_file import RecipeError
from humpback_pipeline.resources.launchpad import launchpad_fields, settings_of
from humpback_pipeline.stages import Workspace

# They shape the graph, which stands when a run begins.
GRAPH_FIELDS = (
    "curation",
    "curation.iterations",
    "augmentation",
    "augmentation.retrain_backward_model",
)


class WorkspaceResource(dg.ConfigurableResource):
    """Opens the workspace of a recipe."""

    graph_iterations: ClassVar[int | None] = None
    """How many iterations the graph has that this resource serves; None: not known."""
    graph_retrains: ClassVar[bool | None] = None
    """Whether that graph has a backward model for each iteration; None: not known."""

    recipe: str = Field(
        default="",
        description=(
            "A bundled recipe's name or a YAML file, with as many iterations as this graph has. "
            "Empty: $HUMPBACK_RECIPE, else demo."
        ),
    )
    rebuild: bool = Field(
        default=False,
        description=(
            "Do the work again even where nothing that shapes it has changed. Answers and ratings "
            "are still taken from the ledgers."
        ),
    )
    overrides: dict[str, str] = Field(
        default={},
        description=(
            "Any other recipe field for this run only, by its dotted name, values in YAML: "
            "{'training.lora.target_modules': '[q_proj, v_proj]'}. 'null' empties a field. "
            "curation.iterations and augmentation.retrain_backward_model shape the graph and can "
            "only be set in the recipe."
        ),
    )

    def open(self) -> Workspace:
        """Load and validate the recipe; a step process also binds its life to its parent's.

        Raises RecipeError that names the field and what is allowed.
        """
        if multiprocessing.parent_process() is not None:
            die_with_parent()
        try:
            recipe = load_recipe(self.recipe or None, self.changes())
        except RecipeError as error:
            # Its text says it all; the validator's own error behind it would be shown instead.
            raise RecipeError(str(error)) from None
        self._check_fits_graph(recipe)
        return Workspace(recipe, rebuild=self.rebuild)

    def changes(self) -> dict[str, str]:
        """Recipe field → YAML value of all that this run changes. Raises RecipeError."""
        for field in GRAPH_FIELDS:
            if field in self.overrides:
                raise RecipeError(
                    f"workspace.config.overrides: {field} shapes the graph and cannot change for "
                    "one run; set it in the recipe and reload the code location."
                )
        changes: dict[str, str] = {}
        own = WorkspaceResource.model_fields
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name in own or value is None:
                continue
            if isinstance(value, dg.Config):
                changes.update(settings_of(value, (name,)))
            else:
                changes[name] = str(value)
        if twice := sorted(changes.keys() & self.overrides.keys()):
            raise RecipeError(
                f"workspace.config: {', '.join(twice)}: set both under overrides and in the "
                "section of its own; keep one of them."
            )
        return {**self.overrides, **changes}

    def _check_fits_graph(self, recipe: Recipe) -> None:
        retrains = recipe.augmentation.retrain_backward_model
        for field, wanted, there in (
            ("curation.iterations", recipe.curation.iterations, self.graph_iterations),
            ("augmentation.retrain_backward_model", retrains, self.graph_retrains),
        ):
            if there is not None and wanted != there:
                raise RecipeError(
                    f"recipe {recipe.name}: {field} is {wanted}, but this graph was built for "
                    f"{there}; reload the code location with that recipe (HUMPBACK_RECIPE)."
                )


def build_workspace(recipe: Recipe) -> WorkspaceResource:
    """The resource with all fields of `recipe` that may differ for one run, each optional."""
    fields: dict[str, Any] = launchpad_fields(recipe)
    kind = create_model("RecipeWorkspaceResource", __base__=WorkspaceResource, **fields)
    kind.graph_iterations = recipe.curation.iterations
    kind.graph_retrains = recipe.augmentation.retrain_backward_model
    kind.__doc__ = (
        f"The recipe {recipe.name!r}. Everything here is optional: what is left out is as the "
        "recipe has it."
    )
    return kind()
