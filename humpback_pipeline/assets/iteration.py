"""Groups `iteration_0`, `iteration_1`, …: rate, select, train, and again with the new model.

The iterations are unrolled by `build_iteration`: "model of t-1 → curated set of t → model of t" in
one pair of assets would be a cycle.
"""

import dagster as dg

from humpback_pipeline.assets.augmentation import augmented_set
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.metadata import (
    add_partition_metadata,
    counts_table,
    manifest_metadata,
    ratings_plot,
    sample_table,
    training_metadata,
)
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.automation.partitions import WARC_SHARDS, warc_shards
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.iteration import (
    curated_set_name,
    model_name,
    scores_name,
    train_forward_model,
    write_curated_set,
    write_curation_scores,
)


def build_iteration(iteration: int) -> list[dg.AssetsDefinition]:
    """The assets of one iteration: for 0 the seed model alone, else scores, curated set, model."""
    if iteration == 0:
        return [_model_asset(0)]
    return [_scores_asset(iteration), _curated_asset(iteration), _model_asset(iteration)]


def _scores_asset(iteration: int) -> dg.AssetsDefinition:
    name = scores_name(iteration)
    rater = model_name(iteration - 1)

    @dg.asset(
        name=name,
        deps=[augmented_set, rater],
        partitions_def=warc_shards,
        check_specs=[
            dg.AssetCheckSpec(
                "every_rating_in_range",
                asset=name,
                blocking=True,
                description="Every pair has a rating, and it is a number from 1 to 5.",
            )
        ],
        description=(
            f"A rating from 1.0 to 5.0 of every augmented pair by {rater}: the expected value over "
            "the probabilities of the five digits, so that none is lost to parsing "
            "(self-curation, paper section 2.3)."
        ),
        **asset_settings(f"iteration_{iteration}", "vllm", "parquet", gpu=True),
    )
    def curation_scores(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = list(context.partition_keys)
        hashes, in_range = [], True
        for shard, manifest in write_curation_scores(
            opened, iteration, shards, log_progress(context)
        ):
            frame = opened.datasets.read(name, shard)
            hashes.append(manifest.content_hash)
            in_range &= manifest.facts["n_out_of_range"] == 0
            pairs = frame.join(opened.datasets.read("augmented_set", shard), on="segment_id")
            add_partition_metadata(
                context,
                shard,
                {
                    **manifest_metadata(opened, manifest),
                    "mean_rating": manifest.facts["mean_rating"],
                    "pairs_cut": manifest.facts["n_truncated"],
                    "ratings": ratings_plot(frame["rating"], [], f"ratings by {rater}, {shard}"),
                    "best": sample_table(
                        pairs.sort("rating", descending=True), ["rating", "instruction", "output"]
                    ),
                    "worst": sample_table(
                        pairs.sort("rating"), ["rating", "instruction", "output"]
                    ),
                },
            )
        return dg.MaterializeResult(
            data_version=dg.DataVersion("-".join(value[:12] for value in hashes)),
            check_results=[
                dg.AssetCheckResult(passed=in_range, check_name="every_rating_in_range")
            ],
        )

    return curation_scores


def _curated_asset(iteration: int) -> dg.AssetsDefinition:
    name = curated_set_name(iteration)

    @dg.asset(
        name=name,
        deps=[scores_name(iteration)],
        check_specs=[
            dg.AssetCheckSpec(
                "not_empty",
                asset=name,
                blocking=True,
                description="Some pairs were kept; otherwise training would repeat the seed model.",
            )
        ],
        description=(
            f"A_k^({iteration}): the pairs that {model_name(iteration - 1)} rated highest, without "
            "duplicates, seeds and evaluation prompts (paper section 2.3)."
        ),
        **asset_settings(f"iteration_{iteration}", "polars", "parquet"),
    )
    def curated_set(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        shards = context.instance.get_dynamic_partitions(WARC_SHARDS)
        manifest = write_curated_set(opened, iteration, shards)
        facts = manifest.facts
        frame = opened.datasets.read(name)
        if facts["advice"]:
            context.log.warning(facts["advice"])
        ratings = opened.datasets.scan_partitions(scores_name(iteration), shards)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **manifest_metadata(opened, manifest),
                "rated": facts["n_rated"],
                "lowest_rating_kept": facts["lowest_rating_kept"],
                "dropped": counts_table(facts["dropped"]),
                "ratings": ratings_plot(
                    ratings.select("rating").collect()["rating"],
                    [facts["lowest_rating_kept"]] if frame.height else [],
                    f"ratings of iteration {iteration}",
                ),
                "samples": sample_table(frame, ["rating", "instruction", "output", "url"]),
            },
            check_results=[
                dg.AssetCheckResult(
                    passed=frame.height > 0,
                    check_name="not_empty",
                    metadata={"rows": frame.height, "advice": facts["advice"]},
                )
            ],
        )

    return curated_set


def _model_asset(iteration: int) -> dg.AssetsDefinition:
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
        description=what,
        **asset_settings(f"iteration_{iteration}", "huggingface", "pytorch", gpu=True),
    )
    def model(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = train_forward_model(opened, iteration, log_progress(context))
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **manifest_metadata(opened, manifest),
                **training_metadata(manifest.facts, f"M_{iteration}"),
            },
        )

    return model
