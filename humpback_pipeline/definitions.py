"""The code location: everything Dagster shows, merged from its rooms."""

from __future__ import annotations

import dagster as dg

from humpback_pipeline.assets.ablations import build_ablations
from humpback_pipeline.assets.augmentation import build_augmentation
from humpback_pipeline.assets.benchmarks import build_benchmarks
from humpback_pipeline.assets.common import freshness_policy
from humpback_pipeline.assets.corpus import CORPUS_ASSETS
from humpback_pipeline.assets.evaluation import build_evaluation
from humpback_pipeline.assets.iteration import build_iteration
from humpback_pipeline.assets.seed import SEED_ASSETS
from humpback_pipeline.automation.alerts import build_alert_sensors
from humpback_pipeline.automation.executor import build_executor
from humpback_pipeline.automation.jobs import build_jobs
from humpback_pipeline.automation.publishing import publish_version
from humpback_pipeline.automation.schedules import build_schedules
from humpback_pipeline.automation.sensors import build_sensors
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.resources import build_workspace, no_objects
from humpback_pipeline.stages.augmentation import (
    augmented_set_name,
    augmented_set_names,
    backward_model_name,
)

# The recipe decides the shape of the graph (how many iterations); a faulty one stops the location
# from loading, with an error that names its file, line and field.
recipe = load_recipe()
iterations = recipe.curation.iterations
freshness = freshness_policy(recipe.automation)

assets = [
    *SEED_ASSETS,
    *CORPUS_ASSETS,
    *build_augmentation(recipe),
    *(
        asset
        for t in range(iterations + 1)
        for asset in build_iteration(
            t,
            freshness if t == iterations else None,
            augmented_set_name(recipe, max(1, t)),
            backward_model_name(recipe, max(1, t)),
        )
    ),
    *build_evaluation(iterations, freshness, augmented_set_names(recipe)),
    *build_ablations(recipe),
    *build_benchmarks(recipe),
]
groups = {
    spec.group_name
    for asset in assets
    if isinstance(asset, dg.AssetsDefinition)
    for spec in asset.specs
    if spec.group_name
}

defs = dg.Definitions(
    assets=assets,
    jobs=[*build_jobs(iterations, groups), publish_version],
    sensors=[*build_sensors(recipe), *build_alert_sensors(recipe)],
    schedules=build_schedules(recipe),
    resources={"workspace": build_workspace(recipe), "io_manager": no_objects},
    executor=build_executor(recipe),
)
