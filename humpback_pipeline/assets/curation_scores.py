"""The ratings of one iteration, a partition for each WARC file."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import (
    asset_settings,
    log_progress,
    shards_data_version,
    shards_of,
)
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, shard_checks
from humpback_pipeline.assets.metadata import (
    add_partition_metadata,
    counts_table,
    manifest_metadata,
    ratings_plot,
    sample_table,
)
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.automation.partitions import warc_shards
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.augmentation import AUGMENTED_SET, BACKWARD_MODEL, augmented_set_name
from humpback_pipeline.stages.checks import (
    CheckOutcome,
    check_rating_shift,
    check_ratings_discriminate,
    check_ratings_in_range,
    check_rubric_followed,
    over_shards,
)
from humpback_pipeline.stages.iteration_names import calibration_name, model_name, scores_name
from humpback_pipeline.stages.rating import SCORES_SCHEMA, write_curation_scores
from humpback_pipeline.storage import Manifest

# What a rating was made of, shown where the scorer has it.
REASONS = ("relevance_forward", "relevance_backward", "completeness", "rationale")


def scores_asset(
    iteration: int, augmented: str = AUGMENTED_SET, backward_model: str = BACKWARD_MODEL
) -> dg.AssetsDefinition:
    """The asset `curation_scores_t`, which rates the dataset `augmented`."""
    name = scores_name(iteration)
    rater = model_name(iteration - 1)

    @dg.asset(
        name=name,
        deps=[augmented, rater, calibration_name(iteration), backward_model],
        partitions_def=warc_shards,
        check_specs=check_specs(
            name,
            *DATASET_CHECKS,
            "every_rating_in_range",
            "ratings_discriminate",
            "rubric_followed",
            "rating_shift",
        ),
        description=(
            f"A rating from 1.0 to 5.0 of every augmented pair by {rater}, by the recipe's scorer; "
            "none is lost to parsing (self-curation, paper section 2.3). Which pairs are kept is "
            "decided later, so a threshold can change without rating again."
        ),
        **asset_settings(f"iteration_{iteration}", "vllm", "parquet", name=name, gpu=True),
    )
    @retried
    def curation_scores(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = shards_of(context)
        manifests = {}
        for shard, manifest in write_curation_scores(
            opened, iteration, shards, log_progress(context)
        ):
            manifests[shard] = manifest
            metadata = _scores_metadata(
                opened, manifest, augmented, shard, f"ratings by {rater}, {shard}"
            )
            made = manifest_metadata(opened, manifest, context)
            add_partition_metadata(context, shard, {**metadata, **made})
        return dg.MaterializeResult(
            data_version=shards_data_version(context, opened, name),
            check_results=check_results(context, _scores_checks(opened, iteration, manifests)),
        )

    return curation_scores


def _scores_metadata(
    workspace: Workspace, manifest: Manifest, pairs_name: str, shard: str, title: str
) -> dict[str, Any]:
    scores = workspace.datasets.read(manifest.name, shard)
    pairs = scores.join(workspace.datasets.read(pairs_name, shard), on="segment_id")
    reasons = [name for name in REASONS if pairs[name].null_count() < pairs.height]
    columns = ["rating", "instruction", "output", *reasons]
    return {
        "scorer": manifest.facts["scorer"],
        "mean_rating": round(manifest.facts["mean_rating"] or 0.0, 3),
        "not_rated": counts_table(manifest.facts["errors"]),
        "pairs_cut": manifest.facts["n_truncated"],
        **_digit_metadata(manifest),
        **ratings_plot(scores["rating"], [], title),
        "best": sample_table(pairs.sort("rating", descending=True), columns),
        "worst": sample_table(pairs.sort("rating"), columns),
    }


def _digit_metadata(manifest: Manifest) -> dict[str, Any]:
    """How far the rater followed the rubric, where it was asked for a digit."""
    mass = manifest.facts["mean_mass"]
    if mass is None:
        return {}
    return {
        "probability_of_a_digit": round(mass, 3),
        "pairs_without_a_digit": manifest.facts["n_without_digit"],
    }


def _scores_checks(
    workspace: Workspace, iteration: int, manifests: Mapping[str, Manifest]
) -> list[CheckOutcome]:
    datasets = workspace.datasets
    pairs_name = augmented_set_name(workspace.recipe, iteration)
    ratings = {shard: datasets.read(m.name, shard)["rating"] for shard, m in manifests.items()}
    in_range = {
        shard: check_ratings_in_range(
            ratings[shard], datasets.manifest(pairs_name, shard).rows or 0
        )
        for shard in manifests
    }
    return [
        *shard_checks(workspace, manifests, ["segment_id"], SCORES_SCHEMA),
        over_shards(in_range),
        check_ratings_discriminate(pl.concat(ratings.values())),
        check_rubric_followed(list(manifests.values())),
        check_rating_shift(
            workspace,
            iteration,
            list(manifests.values()),
            workspace.recipe.checks.max_rating_shift,
        ),
    ]
