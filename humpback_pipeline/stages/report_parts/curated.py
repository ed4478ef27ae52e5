"""The report's samples of each curated set: best, worst, and those at the threshold."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from humpback_pipeline.evaluation.report_data import CuratedSet, SamplePair
from humpback_pipeline.stages.augmentation import augmented_set_name
from humpback_pipeline.stages.iteration_names import curated_set_name, scores_name
from humpback_pipeline.stages.workspace import Workspace

N_SAMPLES = 3
RATIONALE = "rationale"


def curated_samples(workspace: Workspace, iteration: int, shards: Sequence[str]) -> CuratedSet:
    """A curated set in numbers, and a few of all rated pairs, with the rater's reasons if any."""
    datasets = workspace.datasets
    manifest = datasets.manifest(curated_set_name(iteration))
    scores = datasets.scan_partitions(scores_name(iteration), shards)
    # Texts are read of the few pairs that are shown; of a large crawl there are millions.
    ranked = (
        scores.select("segment_id", pl.col("rating").cast(pl.Float64).fill_nan(None))
        .drop_nulls()
        .sort("rating", "segment_id", descending=[True, False])
        .collect()
    )
    threshold = manifest.facts["lowest_rating_kept"]
    if threshold is None:
        threshold = workspace.recipe.curation.selection.min_rating or 5.0
    distance = (pl.col("rating") - threshold).abs()
    chosen = {
        "best": ranked.head(N_SAMPLES),
        "borderline": ranked.sort(distance, maintain_order=True).head(N_SAMPLES),
        "worst": ranked.tail(N_SAMPLES).reverse(),
    }
    texts = _texts(workspace, iteration, shards, pl.concat(chosen.values())["segment_id"].unique())
    return CuratedSet(
        name=manifest.name,
        threshold=threshold,
        rows=manifest.rows or 0,
        n_rated=manifest.facts["n_rated"],
        **{
            name: [
                SamplePair(**row)
                for row in rows.join(texts, on="segment_id", maintain_order="left")
                .drop("segment_id")
                .to_dicts()
            ]
            for name, rows in chosen.items()
        },
    )


def _texts(
    workspace: Workspace, iteration: int, shards: Sequence[str], ids: pl.Series
) -> pl.DataFrame:
    """Columns segment_id, instruction, output, rationale of some segments."""
    datasets = workspace.datasets
    name = augmented_set_name(workspace.recipe, iteration)
    wanted = pl.col("segment_id").is_in(ids.implode())
    pairs = datasets.scan_partitions(name, shards).filter(wanted)
    scores = datasets.scan_partitions(scores_name(iteration), shards).filter(wanted)
    found = pairs.select("segment_id", "instruction", "output").unique("segment_id")
    if RATIONALE not in scores.collect_schema().names():
        return found.with_columns(pl.lit(None, dtype=pl.String).alias(RATIONALE)).collect()
    reasons = scores.select("segment_id", RATIONALE).unique("segment_id")
    return found.join(reasons, on="segment_id", how="left").collect()
