"""The curated set of one iteration: what was kept, how it differs from the last, when to stop."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets import sparklines
from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, shards_with
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import (
    counts_table,
    length_plot,
    manifest_metadata,
    plot,
    ratings_plot,
    sample_table,
)
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.evaluation.iterations_plot import iterations_plot
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.carrying import CARRIED_FROM
from humpback_pipeline.stages.checks import (
    CheckOutcome,
    check_curated_set_usable,
    check_curated_set_varied,
    check_no_contamination,
)
from humpback_pipeline.stages.iteration import CURATED_SCHEMA, write_curated_set
from humpback_pipeline.stages.iteration_names import (
    calibration_name,
    curated_set_name,
    model_name,
    scores_name,
)
from humpback_pipeline.stages.stopping import STOPPED
from humpback_pipeline.storage import Manifest


def curated_asset(iteration: int) -> dg.AssetsDefinition:
    """The asset `curated_set_t`."""
    name = curated_set_name(iteration)
    deps = [scores_name(iteration), calibration_name(iteration)]
    if iteration > 1:
        deps.append(curated_set_name(iteration - 1))

    @dg.asset(
        name=name,
        deps=deps,
        check_specs=check_specs(
            name, *DATASET_CHECKS, "curated_set_usable", "curated_set_varied", "no_contamination"
        ),
        description=(
            f"A_k^({iteration}): the pairs that {model_name(iteration - 1)} rated highest, without "
            "near duplicates, seeds and evaluation prompts (paper section 2.3)."
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
        if said := ended(manifest.facts):
            context.log.info(said)
        # Those that chose the rows, which are an earlier iteration's where they were carried on.
        chosen_by = scores_name(manifest.facts["rows_of"])
        scores = opened.datasets.scan_partitions(chosen_by, shards)
        ratings = scores.select("rating").collect()["rating"]
        frame = opened.datasets.read(name)
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **_selection_metadata(frame, ratings, manifest.facts, iteration),
                **iterations_metadata(manifest.facts, iteration),
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(context, _checks(opened, manifest, frame, ratings)),
        )

    return curated_set


def ended(facts: Mapping[str, Any]) -> str:
    """One line on where iterating ended and why, empty where it goes on."""
    stop, source = facts[STOPPED], facts[CARRIED_FROM]
    if stop is None:
        return ""
    line = f"stopped at iteration {stop['iteration']} because {stop['reason']}"
    return f"{line}; {source} is carried on" if source else line


def iterations_metadata(facts: Mapping[str, Any], iteration: int) -> dict[str, Any]:
    """The rater on labelled pairs, the set against the last one, and both over all iterations."""
    quality, overlap, rows = facts["quality"], facts["overlap"], facts["iterations"]
    measured = ("precision", "precision_low", "precision_high", "recall", "auc")
    metadata: dict[str, Any] = {
        f"labelled_{name}": round(quality[name], 3)
        for name in measured
        if quality[name] is not None
    }
    metadata["labelled_kept"] = f"{quality['labelled_kept']} of {quality['labelled']}"
    if said := ended(facts):
        metadata["stopped"] = said
    if overlap is not None:
        numbers = ("jaccard", "gained", "lost", "rating_correlation", "rank_correlation")
        metadata |= {name: overlap[name] for name in numbers if overlap[name] is not None}
        for name in ("gained_samples", "lost_samples"):
            metadata[name] = _table(overlap[name])
    if iteration > 1:
        metadata["iterations"] = _table(rows)
        precision = [row["precision"] for row in rows if row["precision"] is not None]
        metadata["precision_by_iteration"] = sparklines.line(precision, "precision by iteration")
        metadata["iterations_large"] = plot(iterations_plot(rows), "measures over the iterations")
    return metadata


def _selection_metadata(
    frame: pl.DataFrame, ratings: pl.Series, facts: Mapping[str, Any], iteration: int
) -> dict[str, Any]:
    lowest = facts["lowest_rating_kept"]
    columns = ["rating", "instruction", "output", "url"]
    thresholds = [lowest] if lowest is not None else []
    metadata: dict[str, Any] = {
        "rated": facts["n_rated"],
        "lowest_rating_kept": lowest,
        "dropped": counts_table(facts["dropped"]),
        "dropped_samples": _table(facts["drop_samples"]),
        **ratings_plot(ratings, thresholds, f"ratings of iteration {iteration}"),
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
    }
    if facts["target_precision"] is not None:
        metadata["target_precision"] = facts["target_precision"]
    return metadata


def _checks(
    workspace: Workspace, manifest: Manifest, frame: pl.DataFrame, ratings: pl.Series
) -> list[CheckOutcome]:
    bounds = workspace.recipe.checks
    return [
        *dataset_checks(workspace, manifest, ["pair_id"], CURATED_SCHEMA),
        check_curated_set_usable(frame, ratings, manifest.facts, bounds),
        check_curated_set_varied(frame, manifest.facts, bounds),
        check_no_contamination(workspace, manifest),
    ]


def _table(rows: list[dict[str, Any]]) -> dg.MetadataValue:
    if not rows:
        return dg.MetadataValue.md("None.")
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return dg.MetadataValue.md(render_markdown_table(frame, max_chars=100))
