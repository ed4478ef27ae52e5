"""Which model a variant answers with: its own, or one that was trained on the same already."""

from __future__ import annotations

from humpback_pipeline.recipe import Recipe
from humpback_pipeline.recipe_ablations import AblationVariant
from humpback_pipeline.stages.ablation_names import ABLATION_MODEL
from humpback_pipeline.stages.iteration_names import model_name

# What of a variant does not shape its training.
_OF_INFERENCE = {"study", "series", "tags_at_inference", "shots"}


def model_of(recipe: Recipe, name: str) -> str | None:
    """Name of the variant's model in the store; None where nothing is trained.

    Variants that differ only at inference have one model between them, under the name of the first;
    one that is trained as M_t is, is M_t.
    """
    variants = recipe.ablations.expanded()
    variant = variants[name]
    if variant.method == "few_shot":
        return None
    if (iteration := _as_in_iteration(recipe, variant)) is not None:
        return model_name(iteration)
    same = _training(recipe, variant)
    first = next(n for n, other in variants.items() if _training(recipe, other) == same)
    return ablation_model_name(first)


def ablation_model_name(variant: str) -> str:
    """Name in the store of a model trained for a variant."""
    return f"{ABLATION_MODEL}_{variant}"


def asset_of(name: str, partition: str | None) -> tuple[str, str | None]:
    """The asset and partition that show what the stores keep as `name` and `partition`."""
    variant = name.removeprefix(f"{ABLATION_MODEL}_")
    return (name, partition) if variant == name else (ABLATION_MODEL, variant)


def _training(recipe: Recipe, variant: AblationVariant) -> dict[str, object]:
    fields = variant.model_dump(exclude=_OF_INFERENCE)
    return {**fields, "iteration": variant.iteration or recipe.curation.iterations}


def _as_in_iteration(recipe: Recipe, variant: AblationVariant) -> int | None:
    """t where the variant is trained as M_t is: M_0 on all seeds, M_t on A^(t) too."""
    if variant.seeds or variant.size or not variant.tags_in_training:
        return None
    if variant.data == "seed":
        return 0
    if variant.data == "both" and variant.takes_curated_set:
        return variant.iteration or recipe.curation.iterations
    return None
