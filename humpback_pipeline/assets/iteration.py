"""Groups `iteration_0`, `iteration_1`, …: rate, select, train, and again with the new model.

The iterations are unrolled by `build_iteration`: "model of t-1 → curated set of t → model of t" in
one pair of assets would be a cycle.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.augmentation import augmented_set
from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import (
    asset_settings,
    log_progress,
    shards_data_version,
    shards_of,
    shards_with,
)
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks, shard_checks
from humpback_pipeline.assets.metadata import (
    add_partition_metadata,
    counts_table,
    length_plot,
    manifest_metadata,
    ratings_plot,
    sample_table,
    training_metadata,
)
from humpback_pipeline.assets.model_checks import MODEL_CHECKS, model_checks
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.automation.partitions import warc_shards
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.augmentation import AUGMENTED_SET
from humpback_pipeline.stages.checks import (
    CheckOutcome,
    check_no_contamination,
    check_not_empty,
    check_rating_shift,
    check_ratings_discriminate,
    check_ratings_in_range,
    over_shards,
)
from humpback_pipeline.stages.iteration import (
    CURATED_SCHEMA,
    SCORES_SCHEMA,
    curated_set_name,
    model_name,
    scores_name,
    train_forward_model,
    write_curated_set,
    write_curation_scores,
)
from humpback_pipeline.storage import Manifest


def build_iteration(
    iteration: int, freshness: dg.FreshnessPolicy | None = None
) -> list[dg.AssetsDefinition]:
    """The assets of one iteration: for 0 the seed model alone, else scores, curated set, model.

    `freshness` is of the model; the last iteration's is the one that people use.
    """
    model = _model_asset(iteration, freshness)
    if iteration == 0:
        return [model]
    return [_scores_asset(iteration), _curated_asset(iteration), model]


def _scores_asset(iteration: int) -> dg.AssetsDefinition:
    name = scores_name(iteration)
    rater = model_name(iteration - 1)

    @dg.asset(
        name=name,
        deps=[augmented_set, rater],
        partitions_def=warc_shards,
        check_specs=check_specs(
            name, *DATASET_CHECKS, "every_rating_in_range", "ratings_discriminate", "rating_shift"
        ),
        description=(
            f"A rating from 1.0 to 5.0 of every augmented pair by {rater}: the expected value over "
            "the probabilities of the five digits, so that none is lost to parsing "
            "(self-curation, paper section 2.3)."
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
            metadata = _scores_metadata(opened, manifest, shard, f"ratings by {rater}, {shard}")
            made = manifest_metadata(opened, manifest, context)
            add_partition_metadata(context, shard, {**metadata, **made})
        return dg.MaterializeResult(
            data_version=shards_data_version(context, opened, name),
            check_results=check_results(context, _scores_checks(opened, iteration, manifests)),
        )

    return curation_scores


def _scores_metadata(
    workspace: Workspace, manifest: Manifest, shard: str, title: str
) -> dict[str, Any]:
    scores = workspace.datasets.read(manifest.name, shard)
    pairs = scores.join(workspace.datasets.read(AUGMENTED_SET, shard), on="segment_id")
    columns = ["rating", "instruction", "output"]
    return {
        "mean_rating": round(manifest.facts["mean_rating"] or 0.0, 3),
        "pairs_cut": manifest.facts["n_truncated"],
        **ratings_plot(scores["rating"], [], title),
        "best": sample_table(pairs.sort("rating", descending=True), columns),
        "worst": sample_table(pairs.sort("rating"), columns),
    }


def _scores_checks(
    workspace: Workspace, iteration: int, manifests: Mapping[str, Manifest]
) -> list[CheckOutcome]:
    datasets = workspace.datasets
    ratings = {shard: datasets.read(m.name, shard)["rating"] for shard, m in manifests.items()}
    in_range = {
        shard: check_ratings_in_range(
            ratings[shard], datasets.manifest(AUGMENTED_SET, shard).rows or 0
        )
        for shard in manifests
    }
    return [
        *shard_checks(workspace, manifests, ["segment_id"], SCORES_SCHEMA),
        over_shards(in_range),
        check_ratings_discriminate(pl.concat(ratings.values())),
        check_rating_shift(
            workspace,
            iteration,
            list(manifests.values()),
            workspace.recipe.checks.max_rating_shift,
        ),
    ]


def _curated_asset(iteration: int) -> dg.AssetsDefinition:
    name = curated_set_name(iteration)

    @dg.asset(
        name=name,
        deps=[scores_name(iteration)],
        check_specs=check_specs(name, *DATASET_CHECKS, "not_empty", "no_contamination"),
        description=(
            f"A_k^({iteration}): the pairs that {model_name(iteration - 1)} rated highest, without "
            "duplicates, seeds and evaluation prompts (paper section 2.3)."
        ),
        **asset_settings(f"iteration_{iteration}", "polars", "parquet", name=name),
    )
    @retried
    def curated_set(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = shards_with(context, opened, scores_name(iteration))
        manifest = write_curated_set(opened, iteration, shards)
        facts = manifest.facts
        frame = opened.datasets.read(name)
        ratings = opened.datasets.scan_partitions(scores_name(iteration), shards)
        lowest = facts["lowest_rating_kept"]
        columns = ["rating", "instruction", "output", "url"]
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                "rated": facts["n_rated"],
                "lowest_rating_kept": lowest,
                "dropped": counts_table(facts["dropped"]),
                **ratings_plot(
                    ratings.select("rating").collect()["rating"],
                    [lowest] if lowest is not None else [],
                    f"ratings of iteration {iteration}",
                ),
                **length_plot(
                    "instruction_lengths",
                    frame["instruction"].str.len_chars(),
                    "instruction length (characters)",
                ),
                **length_plot(
                    "output_lengths", frame["output"].str.len_chars(), "output length (characters)"
                ),
                "samples": sample_table(frame, columns),
                "just_kept": sample_table(frame.sort("rating", "pair_id"), columns),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(opened, manifest, ["pair_id"], CURATED_SCHEMA),
                    check_not_empty(frame.height, "pairs kept", facts["advice"]),
                    check_no_contamination(opened, manifest),
                ],
            ),
        )

    return curated_set


def _model_asset(
    iteration: int, freshness: dg.FreshnessPolicy | None = None
) -> dg.AssetsDefinition:
    name = model_name(iteration)
    deps: list[dg.AssetsDefinition | str] = [seed_pairs]
    if iteration:
        deps.append(curated_set_name(iteration))
    what = (
        "M_0: the base model finetuned on the seed pairs only. It rates the first iteration."
        if iteration == 0
        else f"M_{iteration}: the base model finetuned on the seed pairs and A^({iteration}), each "
        "with its system tag (paper sections 2.3 and 3.1)."
    )

    @dg.asset(
        name=name,
        deps=deps,
        check_specs=check_specs(name, *MODEL_CHECKS),
        freshness_policy=freshness,
        description=what,
        **asset_settings(f"iteration_{iteration}", "huggingface", "pytorch", name=name, gpu=True),
    )
    @retried
    def model(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = train_forward_model(opened, iteration, log_progress(context))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **training_metadata(manifest.facts, f"M_{iteration}"),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(context, model_checks(opened, manifest)),
        )

    return model
