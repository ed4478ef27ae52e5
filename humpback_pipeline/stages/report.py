"""The report stage: one HTML page with everything a run measured."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from humpback_pipeline.evaluation.report_data import (
    CuratedSet,
    DataStatisticsRow,
    DiversitySummary,
    IterationRow,
    PreferenceAgreementRow,
    RatingSummary,
    ReportData,
    SamplePair,
    SelectionQualityRow,
    Timing,
    WinRateRow,
)
from humpback_pipeline.stages import summary
from humpback_pipeline.stages.augmentation import augmented_set_name
from humpback_pipeline.stages.data_analysis import DATA_STATISTICS, INSTRUCTION_DIVERSITY
from humpback_pipeline.stages.iteration_names import curated_set_name, model_name, scores_name
from humpback_pipeline.stages.known_pairs import LABELLED
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.seen_pairs import SEEN, seen_sentences
from humpback_pipeline.stages.selection_quality import SELECTION_QUALITY, selection_plot
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import write_text_atomic

REPORT_NAME = "report.html"
N_SAMPLES = 3


def report_path(workspace: Workspace) -> Path:
    """Where the latest report lies."""
    return workspace.home / "reports" / workspace.recipe.name / REPORT_NAME


def write_report(workspace: Workspace, shards: Sequence[str]) -> Path:
    """Gather what the run measured and write the page; return its path."""
    from humpback_pipeline.evaluation import render_report

    path = report_path(workspace)
    write_text_atomic(path, render_report(gather(workspace, shards)))
    return path


def gather(workspace: Workspace, shards: Sequence[str]) -> ReportData:
    """All figures and plots of the current versions."""
    recipe, datasets = workspace.recipe, workspace.datasets
    iterations = range(1, recipe.curation.iterations + 1)
    models = summary.trained_models(workspace)
    facts = datasets.manifest(WIN_RATES).facts
    final = workspace.models.manifest(model_name(recipe.curation.iterations))
    provenance = final.provenance.model_dump()
    return ReportData(
        title=f"Humpback report: {recipe.name}",
        created=datetime.now(UTC),
        recipe_name=recipe.name,
        recipe_yaml=yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False),
        recipe_hash=recipe.content_hash(),
        hashes={
            f"{kind}: {name}": value
            for kind, entries in provenance.items()
            for name, value in entries.items()
        },
        hardware=f"{platform.processor() or platform.machine()}, {platform.platform()}",
        judge=facts["judge"],
        funnel=summary.funnel(workspace, shards),
        models=models,
        ratings=[_ratings(workspace, t, shards) for t in iterations],
        curated_sets=[_curated_set(workspace, t, shards) for t in iterations],
        iterations=_iterations(workspace),
        **_selection(workspace),
        win_rates=[WinRateRow(**row) for row in facts["win_rates"]],
        win_rates_plot_png=_win_rates_plot(facts["win_rates"]),
        data_statistics=[
            DataStatisticsRow(**row) for row in datasets.read(DATA_STATISTICS).to_dicts()
        ],
        diversity=_diversity(workspace),
        timings=[
            Timing(step=f"training {m.name}", seconds=m.seconds, tokens=m.tokens)
            for m in models
            if m.seconds is not None
        ],
    )


def _ratings(workspace: Workspace, iteration: int, shards: Sequence[str]) -> RatingSummary:
    from humpback_pipeline.evaluation import ratings_histogram

    values = summary.ratings(workspace, iteration, shards)
    lowest = workspace.datasets.manifest(curated_set_name(iteration)).facts["lowest_rating_kept"]
    mean, deviation = values.mean(), values.std()
    return RatingSummary(
        iteration=iteration,
        rater=model_name(iteration - 1),
        n=len(values),
        mean=float(str(mean)) if mean is not None else None,
        sd=float(str(deviation)) if deviation is not None else None,
        histogram_png=ratings_histogram(
            values.to_list(), [lowest] if lowest is not None else [], f"Iteration {iteration}"
        ),
    )


def _curated_set(workspace: Workspace, iteration: int, shards: Sequence[str]) -> CuratedSet:
    datasets = workspace.datasets
    name = curated_set_name(iteration)
    kept = datasets.read(name)
    pairs = (
        datasets.scan_partitions(scores_name(iteration), shards)
        .join(
            datasets.scan_partitions(augmented_set_name(workspace.recipe, iteration), shards),
            on="segment_id",
        )
        .select("segment_id", "rating", "instruction", "output")
        .sort("rating", "segment_id", descending=[True, False])
        .collect()
    )
    facts = datasets.manifest(name).facts
    threshold = facts["lowest_rating_kept"]
    if threshold is None:
        threshold = workspace.recipe.curation.selection.min_rating or 5.0
    distance = (pl.col("rating") - threshold).abs()
    return CuratedSet(
        name=name,
        threshold=threshold,
        rows=kept.height,
        n_rated=facts["n_rated"],
        best=_samples(pairs.head(N_SAMPLES)),
        borderline=_samples(pairs.sort(distance).head(N_SAMPLES)),
        worst=_samples(pairs.tail(N_SAMPLES).reverse()),
    )


def _iterations(workspace: Workspace) -> list[IterationRow]:
    last = curated_set_name(workspace.recipe.curation.iterations)
    rows = workspace.datasets.manifest(last).facts["iterations"]
    return [IterationRow(**row) for row in rows]


def _samples(frame: pl.DataFrame) -> list[SamplePair]:
    rows = frame.select("rating", "instruction", "output").to_dicts()
    return [SamplePair(**row) for row in rows]


def _selection(workspace: Workspace) -> dict[str, Any]:
    """Fields of `ReportData` about selection quality."""
    facts = workspace.datasets.manifest(SELECTION_QUALITY).facts
    comparison = facts["comparison"]
    return {
        "selection_quality": [SelectionQualityRow(**row) for row in facts["quality"]],
        "selection_scorers": [SelectionQualityRow(**row) for row in comparison["labelled"]],
        "selection_hard": [SelectionQualityRow(**row) for row in comparison["hard"]],
        "preference_agreement": [
            PreferenceAgreementRow(**row) for row in comparison["preferences"]
        ],
        "selection_notes": seen_sentences(
            {name: count for name, count in facts.get(SEEN, {}).items() if count["n_in_seeds"]}
        ),
        "selection_plot_png": selection_plot(
            workspace.datasets.read(SELECTION_QUALITY), facts, LABELLED
        ),
    }


def _win_rates_plot(rows: Sequence[dict[str, float | str]]) -> bytes:
    from humpback_pipeline.evaluation import win_rate_bars

    return win_rate_bars(
        [(str(r["model"]), float(r["rate"]), float(r["standard_error"])) for r in rows]
    )


def _diversity(workspace: Workspace) -> list[DiversitySummary]:
    import base64

    manifest = workspace.datasets.manifest(INSTRUCTION_DIVERSITY)
    plots = {
        name: base64.b64decode(uri.split(",", 1)[1])
        for name, uri in manifest.facts["sunbursts"].items()
    }
    rows = workspace.datasets.read(INSTRUCTION_DIVERSITY).to_dicts()
    return [DiversitySummary(**row, sunburst_png=plots.get(row["dataset"])) for row in rows]
