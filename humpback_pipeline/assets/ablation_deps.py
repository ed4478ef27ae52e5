"""What ablations read of the rest of the graph."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.recipe_ablations import AblationVariant
from humpback_pipeline.stages.ablation_models import model_of
from humpback_pipeline.stages.ablation_names import ABLATION_MODEL
from humpback_pipeline.stages.augmentation import augmented_set_names, backward_model_name
from humpback_pipeline.stages.iteration_names import (
    calibration_name,
    curated_set_name,
    model_name,
    scores_name,
)


def data_deps(recipe: Recipe, variants: Mapping[str, AblationVariant]) -> list[Any]:
    """What the variants read, all partitions of it; ratings and models where one needs them."""
    last = recipe.curation.iterations
    names = dict.fromkeys(
        name
        for key, variant in variants.items()
        for t in (variant.iteration or last,)
        for name in (
            *((curated_set_name(t),) if variant.takes_curated_set else ()),
            *((scores_name(t), calibration_name(t)) if variant.reads_ratings else ()),
            *((model_name(t - 1), backward_model_name(recipe, t)) if variant.scorer else ()),
            *_iterations_model(recipe, key),
        )
    )
    # The pairs themselves always: without them the graph would have two kinds of partitions at its
    # beginning, which the UI cannot choose from at once.
    pairs = augmented_set_names(recipe)
    everything = dg.AllPartitionMapping()
    partitioned = [*pairs, *(name for name in names if name.startswith("curation_scores"))]
    return [
        seed_pairs,
        *(dg.AssetDep(name, partition_mapping=everything) for name in partitioned),
        *(name for name in names if name not in partitioned),
    ]


def _iterations_model(recipe: Recipe, variant: str) -> tuple[str, ...]:
    """The model of an iteration that a variant is, if it is one."""
    name = model_of(recipe, variant)
    return () if name is None or name.startswith(ABLATION_MODEL) else (name,)
