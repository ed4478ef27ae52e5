"""Which variants share a model, so that none is trained twice on the same."""

from __future__ import annotations

import pytest
import yaml

from humpback_pipeline.recipe import Recipe, load_recipe
from humpback_pipeline.stages.ablation_models import asset_of, model_of

VARIANTS = yaml.safe_load(
    """
    both: {study: system_prompts}
    only-seed: {study: system_prompts, tags_at_inference: seed}
    none: {study: system_prompts, tags_in_training: false, tags_at_inference: none}
    none-at-all: {study: joint_training, tags_in_training: false}
    first: {study: iterations, iteration: 1}
    seeds: {study: joint_training, data: seed}
    few-seeds: {study: seed_count, seeds: 8}
    web: {study: joint_training, data: augmented, iteration: 2}
    web-too: {study: quality_quantity, data: augmented}
    a4: {study: quality_quantity, min_rating: 4.0}
    shown: {study: baselines, method: few_shot}
    """
)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe("demo", {"ablations.variants": yaml.safe_dump(VARIANTS, sort_keys=False)})


@pytest.mark.parametrize(
    ("variant", "model"),
    [
        # Trained as a model of the iterations is: that one.
        ("both", "m2"),
        ("only-seed", "m2"),
        ("first", "m1"),
        ("seeds", "m0"),
        # One model between those that differ at inference, or in their table, alone.
        ("none", "ablation_model_none"),
        ("none-at-all", "ablation_model_none"),
        ("web", "ablation_model_web"),
        ("web-too", "ablation_model_web"),
        ("few-seeds", "ablation_model_few-seeds"),
        ("a4", "ablation_model_a4"),
        ("shown", None),
    ],
)
def test_variant_answers_with_the_model_trained_as_it_says(
    recipe: Recipe, variant: str, model: str | None
) -> None:
    assert model_of(recipe, variant) == model


def test_models_page_is_a_partition_and_everything_elses_its_own() -> None:
    assert asset_of("ablation_model_a4-800", None) == ("ablation_model", "a4-800")
    assert asset_of("ablation_win_rate", "a4-800") == ("ablation_win_rate", "a4-800")
    assert asset_of("m2", None) == ("m2", None)
