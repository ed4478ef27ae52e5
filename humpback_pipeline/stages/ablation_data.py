"""What a variant is trained on: its seeds and its augmented pairs, each with its origin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe_ablations import DEFAULT_POOL, AblationVariant
from humpback_pipeline.recipe_curation import SelectionRecipe
from humpback_pipeline.stages.ablation_draws import draw, draw_order
from humpback_pipeline.stages.ablation_names import ABLATION_DATA, SELF_INSTRUCT_PAIRS
from humpback_pipeline.stages.ablation_rating import rate_pool
from humpback_pipeline.stages.augmentation import augmented_set_name, backward_model_name
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.iteration_facts import labelled_ratings
from humpback_pipeline.stages.iteration_names import (
    calibration_name,
    curated_set_name,
    model_name,
    scores_name,
)
from humpback_pipeline.stages.rater_calibration import rating_settings
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Origin, Provenance

ABLATION_DATA_SCHEMA = {
    "pair_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "origin": pl.String,
    "rating": pl.Float64,
}
# What of a variant shapes its pairs, and not how they are used.
_SHAPING = (
    "data", "source", "curated", "min_rating", "scorer", "pool", "pick", "size", "seeds",
)  # fmt: skip


class NoPairsError(ValueError):
    """Nothing is left to train a variant on."""


def write_ablation_data(
    workspace: Workspace,
    name: str,
    variant: AblationVariant,
    shards: Sequence[str],
    on_progress: OnProgress = ignore_progress,
) -> Manifest:
    """Write the pairs of a variant. Columns: `ABLATION_DATA_SCHEMA`; rating is null of seeds.

    Of few-shot prompting they are the seeds that examples are drawn from. Whatever the variant, no
    pair of it is a seed's twin or shares a run of words with evaluation data. In the facts: how
    many seeds and augmented pairs, of how many wanted. Raises NoPairsError, NotMaterializedError.
    """
    origin = _origin(workspace, name, variant, shards)
    if unchanged := workspace.unchanged_dataset(origin, name):
        return unchanged
    parts: list[pl.DataFrame] = []
    if variant.data != "augmented":
        seeds = workspace.datasets.read(SEED_PAIRS).filter(pl.col("split") == "train")
        drawn = draw(seeds, "pair_id", variant.n_seeds, workspace.recipe.ablations.seed)
        parts.append(_tagged(drawn, "seed"))
    dropped: Mapping[str, int] = {}
    if variant.method == "train" and variant.data != "seed":
        pairs, dropped = _augmented(workspace, variant, shards, on_progress)
        parts.append(_tagged(pairs, "web"))
    frame = pl.concat(parts)
    if frame.is_empty():
        raise NoPairsError(
            f"ablation {name}: no pair is left to train on (dropped: {dict(dropped)}); lower its "
            "min_rating, or give it another pool"
        )
    n = {origin: frame.filter(pl.col("origin") == origin).height for origin in ("seed", "web")}
    return workspace.write_dataset(
        origin,
        frame,
        ABLATION_DATA_SCHEMA,
        partition=name,
        facts={
            "n_seeds": n["seed"],
            "n_augmented": n["web"],
            "seeds_wanted": variant.n_seeds,
            "augmented_wanted": variant.n_augmented,
            "dropped": dict(dropped),
            "mean_rating": frame["rating"].mean(),
        },
    )


def iteration_of(workspace: Workspace, variant: AblationVariant) -> int:
    """Whose ratings and curated set a variant is about."""
    return variant.iteration or workspace.recipe.curation.iterations


def _augmented(
    workspace: Workspace, variant: AblationVariant, shards: Sequence[str], on_progress: OnProgress
) -> tuple[pl.DataFrame, Mapping[str, int]]:
    """Its augmented pairs (columns pair_id, instruction, output, rating), and what was dropped."""
    n, seed = variant.n_augmented, workspace.recipe.ablations.seed
    if variant.source == "self_instruct":
        pairs = workspace.datasets.read(SELF_INSTRUCT_PAIRS)  # in the order they were written
        return pairs.slice(0, n).with_columns(rating=pl.lit(None, pl.Float64)), {}
    if variant.takes_curated_set:
        kept = workspace.datasets.read(curated_set_name(iteration_of(workspace, variant)))
        dropped: Mapping[str, int] = {}
    else:
        kept, dropped = _selected(workspace, variant, shards, on_progress)
        if not variant.curated:  # it is in the order of a draw already
            return kept.slice(0, n), dropped
    if variant.pick == "best":
        return kept.sort("rating", "pair_id", descending=[True, False]).slice(0, n), dropped
    return draw(kept, "pair_id", n, seed), dropped


def _selected(
    workspace: Workspace, variant: AblationVariant, shards: Sequence[str], on_progress: OnProgress
) -> tuple[pl.DataFrame, Mapping[str, int]]:
    """Pairs that pass the variant's rule and, as always, the rules on what must not be learnt."""
    from humpback_pipeline.curation import select_pairs
    from humpback_pipeline.seeds import read_evaluation_prompts

    recipe = workspace.recipe
    iteration = iteration_of(workspace, variant)
    rated = _candidates(workspace, variant, shards, on_progress)
    texts = workspace.datasets.scan_partitions(augmented_set_name(recipe, iteration), shards)
    prompts = read_evaluation_prompts(recipe.evaluation.prompts)
    result = select_pairs(
        rated.lazy().join(texts.select("segment_id", "instruction", "output"), on="segment_id"),
        _rule(workspace, variant),
        seeds=workspace.datasets.read(SEED_PAIRS),
        evaluation_texts=[text for p in prompts for text in (p.instruction, p.output) if text],
        contamination_ngram_words=recipe.curation.contamination_ngram_words,
        labelled=labelled_ratings(workspace, iteration) if variant.curated else None,
    )
    kept = result.kept.with_columns(pair_id=pl.format("web-{}", pl.col("segment_id")))
    if not variant.curated:
        kept = kept.with_columns(rating=pl.lit(None, pl.Float64))
    return kept, result.dropped


def _rule(workspace: Workspace, variant: AblationVariant) -> SelectionRecipe:
    selection = workspace.recipe.curation.selection
    near = selection.near_duplicate_threshold
    if not variant.curated:
        # What curation does is left out; texts that must not be trained on are dropped all the
        # same, and the values, which are a draw, put the rest in their order.
        n = variant.n_augmented
        return SelectionRecipe(min_rating=1.0, top_k=n, near_duplicate_threshold=None)
    if variant.min_rating is not None:
        return SelectionRecipe(min_rating=variant.min_rating, near_duplicate_threshold=near)
    if variant.pick == "best":
        return SelectionRecipe(min_rating=1.0, near_duplicate_threshold=near)
    return selection


def _candidates(
    workspace: Workspace, variant: AblationVariant, shards: Sequence[str], on_progress: OnProgress
) -> pl.DataFrame:
    """What is chosen from, rated: columns segment_id, rating, value."""
    recipe, datasets = workspace.recipe, workspace.datasets
    iteration = iteration_of(workspace, variant)
    texts = datasets.scan_partitions(augmented_set_name(recipe, iteration), shards)
    ids = texts.select("segment_id").collect().unique()
    pool = variant.pool or (DEFAULT_POOL if variant.scorer is not None else None)
    drawn = draw(ids, "segment_id", pool, recipe.ablations.seed)
    if not variant.curated:
        if pool is None and variant.n_augmented is not None:
            # Texts are looked at of enough pairs to make up for those that will be dropped.
            drawn = drawn.head(4 * variant.n_augmented + 1_000)
        order = draw_order(drawn["segment_id"], recipe.ablations.seed)
        return drawn.with_columns(rating=pl.lit(1.0), value=1.0 - order)
    if variant.scorer is not None and variant.scorer != recipe.curation.scorer:
        pairs = texts.join(drawn.lazy(), on="segment_id", how="semi").collect()
        pairs = pairs.unique("segment_id", keep="first").sort("segment_id")
        return rate_pool(workspace, iteration, variant.scorer, pairs, on_progress)
    scores = datasets.scan_partitions(scores_name(iteration), shards)
    return (
        scores.select("segment_id", "rating", "value")
        .join(drawn.lazy(), on="segment_id", how="semi")
        .collect()
    )


def _tagged(pairs: pl.DataFrame, origin: str) -> pl.DataFrame:
    if "rating" not in pairs.columns:
        pairs = pairs.with_columns(rating=pl.lit(None, pl.Float64))
    return pairs.with_columns(origin=pl.lit(origin)).select(list(ABLATION_DATA_SCHEMA))


def _origin(
    workspace: Workspace, name: str, variant: AblationVariant, shards: Sequence[str]
) -> Origin:
    recipe, datasets = workspace.recipe, workspace.datasets
    iteration = iteration_of(workspace, variant)
    inputs = [datasets.manifest(SEED_PAIRS)]
    sources = Provenance()
    settings: dict[str, Any] = {
        "variant": variant.model_dump(mode="json", include=set(_SHAPING)),
        "method": variant.method,
        "seed": recipe.ablations.seed,
    }
    if variant.method == "train" and variant.source == "self_instruct":
        inputs.append(datasets.manifest(SELF_INSTRUCT_PAIRS))
    elif variant.takes_curated_set:
        inputs.append(datasets.manifest(curated_set_name(iteration)))
    elif variant.uses_web:
        inputs += datasets.manifests(augmented_set_name(recipe, iteration), shards)
        sources = file_source(recipe.evaluation.prompts, "evaluation.prompts")
        settings["contamination_ngram_words"] = recipe.curation.contamination_ngram_words
    if variant.reads_ratings:
        inputs.append(datasets.manifest(calibration_name(iteration)))
        settings["selection"] = recipe.curation.selection.model_dump()
        if variant.scorer is None or variant.scorer == recipe.curation.scorer:
            inputs += datasets.manifests(scores_name(iteration), shards)
        else:
            inputs.append(workspace.models.manifest(model_name(iteration - 1)))
            inputs.append(workspace.models.manifest(backward_model_name(recipe, iteration)))
            sources = sources.merged([workspace.prompt_sources("rating", "tags", "backward")])
            settings["rating"] = rating_settings(workspace, [variant.scorer])
    return workspace.origin(ABLATION_DATA, inputs=inputs, sources=sources, settings=settings)
