"""What each rater makes of pairs whose quality is known; its own ratings are read against it."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.checks import check_results, check_specs
from humpback_pipeline.assets.common import asset_settings, log_progress
from humpback_pipeline.assets.dataset_checks import DATASET_CHECKS, dataset_checks
from humpback_pipeline.assets.metadata import manifest_metadata, ratings_plot
from humpback_pipeline.assets.retries import retried
from humpback_pipeline.assets.seed import seed_pairs
from humpback_pipeline.evaluation import render_markdown_table
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages.carrying import CARRIED_FROM
from humpback_pipeline.stages.checks.selection_quality import UNSEEN, check_known_pairs_unseen
from humpback_pipeline.stages.iteration_names import calibration_name, model_name
from humpback_pipeline.stages.known_pairs import LABELLED, MIN_HELD_OUT_SEEDS, SEED
from humpback_pipeline.stages.known_ratings import CALIBRATION_SCHEMA
from humpback_pipeline.stages.rater_calibration import write_rater_calibration
from humpback_pipeline.stages.seen_pairs import SEEN, seen_sentences


def rater_calibration_asset(iteration: int, backward_model: str) -> dg.AssetsDefinition:
    """The asset `rater_calibration_t`; `backward_model` reads along."""
    name = calibration_name(iteration)
    rater = model_name(iteration - 1)

    @dg.asset(
        name=name,
        deps=[rater, backward_model, seed_pairs],
        check_specs=check_specs(name, *DATASET_CHECKS, UNSEEN),
        description=(
            f"{rater}'s ratings, by every compared scorer, of pairs whose quality is known: seed "
            "pairs, against whose likelihoods the percentile ranks are taken in every shard alike, "
            "and labelled pairs, which say how precise a threshold is."
        ),
        **asset_settings(f"iteration_{iteration}", "vllm", "parquet", name=name, gpu=True),
    )
    @retried
    def rater_calibration(
        context: dg.AssetExecutionContext, workspace: WorkspaceResource
    ) -> dg.MaterializeResult:
        opened = workspace.open()
        manifest = write_rater_calibration(opened, iteration, log_progress(context))
        frame = opened.datasets.read(name)
        keys = ["pair_id", "scorer"]
        return dg.MaterializeResult(
            data_version=dg.DataVersion(manifest.content_hash),
            metadata={
                **facts_metadata(manifest.facts),
                **_ratings_metadata(frame, opened.recipe.curation.scorer, rater),
                "not_rated": manifest.facts["n_errors"],
                **manifest_metadata(opened, manifest, context),
            },
            check_results=check_results(
                context,
                [
                    *dataset_checks(opened, manifest, keys, CALIBRATION_SCHEMA),
                    check_known_pairs_unseen(manifest),
                ],
            ),
        )

    return rater_calibration


def facts_metadata(facts: Mapping[str, Any]) -> dict[str, Any]:
    """What the ratings are ranked against, what was measured on, and how well the calibration fits.

    facts: those of `write_rater_calibration`.
    """
    sentences = seen_sentences(facts[SEEN])
    if source := facts.get(CARRIED_FROM):
        sentences.insert(0, f"Iterating has ended: {source} is carried on, nothing was rated.")
    metadata: dict[str, Any] = {
        "reference": _reference(facts["reference"]),
        "how_to_read": dg.MetadataValue.md(" ".join(sentences)),
    }
    if calibration := facts["calibration"]:
        metadata["calibration"] = _calibration(calibration, facts[SEEN][LABELLED])
    return metadata


def _reference(reference: Mapping[str, int]) -> str:
    n, n_seen = reference["n"], reference["n_in_seeds"]
    if not n:
        return "none: no scorer ranks likelihoods"
    if not n_seen:
        return f"{n:,} held-out seed pairs, which no model was trained on"
    return (
        f"{n:,} of all seed pairs, as fewer than {MIN_HELD_OUT_SEEDS} are held out; the models "
        f"were trained on {n_seen:,} of them, which can make other pairs rank low beside them"
    )


def _calibration(calibration: Mapping[str, Any], labelled: Mapping[str, Any]) -> str:
    precision = calibration["precision_at_4"]
    words = (
        f"fitted on {calibration['n_labels']:,} labelled pairs; cross-validated: AUC "
        f"{calibration['auc']:.2f}, from rating 4 on precision "
        f"{'–' if precision is None else format(precision, '.2f')}, recall "
        f"{calibration['recall_at_4']:.2f}"
    )
    if calibration["n_labels"] > labelled["n"] - labelled["n_in_seeds"]:
        words += "; too few are new to the models, so they are fitted on pairs in the seeds, too"
    return words


def _ratings_metadata(frame: pl.DataFrame, scorer: str, rater: str) -> dict[str, Any]:
    means = (
        frame.group_by("scorer", "set", "kind")
        .agg(
            pairs=pl.len(),
            in_seeds=pl.col("seen").sum(),
            mean=pl.col("rating").mean().round(2),
            tenth=pl.col("rating").quantile(0.1).round(2),
            ninetieth=pl.col("rating").quantile(0.9).round(2),
        )
        .sort("scorer", "set", "mean")
    )
    own = frame.filter(pl.col("scorer") == scorer)
    seeds, labelled = (own.filter(pl.col("set") == name) for name in (SEED, LABELLED))
    title = f"ratings of labelled pairs by {rater}, {scorer}"
    return {
        "scorer": scorer,
        "mean_rating_of_seeds": round(float(seeds["rating"].mean() or 0.0), 3),  # type: ignore[arg-type]
        "ratings_by_kind": dg.MetadataValue.md(render_markdown_table(means)),
        **ratings_plot(labelled["rating"], [], title),
    }
