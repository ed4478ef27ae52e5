"""Variants of ablations in a recipe: what they say, and what is refused with a remedy."""

from __future__ import annotations

import re
from typing import get_args

import pytest
import yaml

from humpback_pipeline.recipe import Recipe, load_recipe
from humpback_pipeline.recipe_ablations import Study, check_ablations
from humpback_pipeline.recipe_file import RECIPES_DIR, RecipeError
from humpback_pipeline.stages.ablation_models import model_of


def recipe_with(variants: str, **fields: str) -> Recipe:
    given = {f"ablations.variants.{n}": v for n, v in yaml.safe_load(variants).items()}
    dumped = {name: yaml.safe_dump(value) for name, value in given.items()}
    return load_recipe("demo", {**dumped, **{k.replace("__", "."): v for k, v in fields.items()}})


def test_several_sizes_are_as_many_variants_of_one_series() -> None:
    variants = recipe_with(
        "{a5: {study: quality_quantity, data: augmented, min_rating: 4.5, size: [800, 1600]},"
        " few: {study: seed_count, data: seed, seeds: [100, 200], series: seeds alone}}"
    ).ablations.expanded()
    assert list(variants) == ["a5-800", "a5-1600", "few-100", "few-200"]
    assert [v.n_augmented for v in variants.values()] == [800, 1600, None, None]
    assert [v.series for v in variants.values()] == ["a5", "a5", "seeds alone", "seeds alone"]


def test_what_is_left_out_is_as_in_the_final_model() -> None:
    (variant,) = recipe_with("{same: {study: baselines}}").ablations.expanded().values()
    assert variant.takes_curated_set
    assert (variant.n_seeds, variant.n_augmented) == (None, None)
    assert (variant.tags_in_training, variant.tags_at_inference) == (True, "both")


def test_demo_declares_none_so_that_its_graph_is_as_small_as_can_be() -> None:
    assert check_ablations(load_recipe("demo")) == {}


def test_recipe_that_was_written_whole_reads_back() -> None:
    recipe = recipe_with(
        "{a5: {study: quality_quantity, data: augmented, min_rating: 4.5, size: [800, 1600]},"
        " fs: {study: baselines, method: few_shot},"
        " si: {study: baselines, source: self_instruct, size: 8}}"
    )
    dumped = yaml.safe_dump(recipe.ablations.model_dump(mode="json"))
    assert load_recipe("demo", {"ablations": dumped}).ablations == recipe.ablations


@pytest.mark.parametrize(
    ("variant", "complaint"),
    [
        ("{}", "study: this field is required"),
        ("{study: quality}", "'quality_quantity', 'joint_training'"),
        ("{study: baselines, siz: 4}", "siz: unknown field"),
        ("{study: baselines, size: 0}", "greater than 0"),
        ("{study: baselines, size: many}", "give a number, or several in a list"),
        ("{study: baselines, size: [4, 4]}", "size holds a number twice"),
        ("{study: baselines, size: [4, 8], seeds: [1, 2]}", "not for both"),
        ("{study: baselines, method: few_shot, size: 4}", "trains nothing: size must be left out"),
        ("{study: baselines, shots: 3}", "only method: few_shot"),
        ("{study: joint_training, data: seed, min_rating: 4}", "min_rating must be left out"),
        ("{study: joint_training, data: augmented, seeds: 8}", "seeds must be left out"),
        ("{study: baselines, source: self_instruct}", "needs a size"),
        ("{study: baselines, source: self_instruct, size: 4, min_rating: 4}", "are not rated"),
        ("{study: quality_quantity, curated: false, min_rating: 4}", "looks at no rating"),
        ("{study: scorers, scorer: expected}", "pick: best with a size, or a min_rating"),
        ("{study: scorers, pick: best}", "pick: best needs a size"),
        ("{study: scorers, scorer: magic, min_rating: 4}", "'expected', 'reasoned'"),
        ("{study: scorers, min_rating: 6}", "less than or equal to 5"),
    ],
)
def test_variant_that_means_nothing_is_refused_with_the_field(variant: str, complaint: str) -> None:
    with pytest.raises(RecipeError, match=r"ablations\.variants\.odd") as caught:
        recipe_with(f"{{odd: {variant}}}")
    assert complaint in str(caught.value)


@pytest.mark.parametrize("name", ["A5", "a b", "a/b", "-a", "a...b", "x" * 61])
def test_name_that_is_no_partition_or_folder_is_refused(name: str) -> None:
    with pytest.raises(RecipeError, match="is no name of a variant"):
        load_recipe("demo", {"ablations.variants": yaml.safe_dump({name: {"study": "baselines"}})})


def test_two_variants_of_one_name_are_refused() -> None:
    with pytest.raises(RecipeError, match="two variants are called 'a-4'"):
        recipe_with("{a: {study: baselines, size: [4, 8]}, a-4: {study: baselines}}")


def test_iteration_that_the_recipe_does_not_have_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"late\.iteration is 3, but curation\.iterations is 2"):
        recipe_with("{late: {study: iterations, iteration: 3}}")


def test_external_scorer_without_its_settings_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"curation\.external"):
        recipe_with("{nli: {study: scorers, scorer: external, pick: best, size: 8}}")


def test_list_in_the_7b_recipe_is_one_and_says_how_much_it_is() -> None:
    text = (RECIPES_DIR / "humpback-7b.yaml").read_text()
    block = yaml.safe_load(re.sub("^# ?", "", text[text.index("# ablations:") :], flags=re.M))
    recipe = load_recipe(
        "humpback-7b", {"ablations": yaml.safe_dump(block["ablations"], sort_keys=False)}
    )
    variants = check_ablations(recipe)
    assert {variant.study for variant in variants.values()} == set(get_args(Study))
    models = {model_of(recipe, name) for name in variants}
    trained = [name for name in models if name and name.startswith("ablation_model")]
    assert f"{len(variants)} models to judge, {len(trained)} of them to train" in text
