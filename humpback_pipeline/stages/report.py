"""The report stage: one HTML page with everything a run measured."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from humpback_pipeline.evaluation.report_data import (
    DataStatisticsRow,
    DiversitySummary,
    IterationRow,
    ModelSummary,
    PreferenceAgreementRow,
    RatingSummary,
    ReportData,
    SelectionQualityRow,
    Timing,
    WinRateRow,
)
from humpback_pipeline.stages import summary
from humpback_pipeline.stages.data_analysis import DATA_STATISTICS
from humpback_pipeline.stages.instruction_diversity import INSTRUCTION_DIVERSITY
from humpback_pipeline.stages.iteration_names import curated_set_name, model_name
from humpback_pipeline.stages.known_pairs import LABELLED
from humpback_pipeline.stages.report_parts import report_sections
from humpback_pipeline.stages.report_parts.curated import curated_samples
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.seen_pairs import SEEN, seen_sentences
from humpback_pipeline.stages.selection_quality import SELECTION_QUALITY, selection_plot
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import write_text_atomic
from humpback_pipeline.storage.remote import redacted

REPORT_NAME = "report.html"


def report_path(workspace: Workspace) -> Path:
    """Where the latest report lies."""
    return workspace.home / "reports" / workspace.recipe.name / REPORT_NAME


def write_report(workspace: Workspace, shards: Sequence[str], steps: Sequence[Timing] = ()) -> Path:
    """Gather what the run measured and write the page; return its path.

    steps: how long each step took, where whoever runs them knows.
    """
    from humpback_pipeline.evaluation import render_report

    path = report_path(workspace)
    write_text_atomic(path, render_report(gather(workspace, shards, steps)))
    return path


def gather(workspace: Workspace, shards: Sequence[str], steps: Sequence[Timing] = ()) -> ReportData:
    """All figures and plots of the current versions."""
    recipe, datasets = workspace.recipe, workspace.datasets
    iterations = range(1, recipe.curation.iterations + 1)
    models = summary.trained_models(workspace)
    facts = datasets.manifest(WIN_RATES).facts
    final = workspace.models.manifest(model_name(recipe.curation.iterations))
    provenance = final.provenance.model_dump()
    rates = _win_rates(facts)
    return ReportData(
        title=f"Humpback report: {recipe.name}",
        created=datetime.now(UTC),
        recipe_name=recipe.name,
        recipe_yaml=yaml.safe_dump(shown_recipe(recipe.model_dump(mode="json")), sort_keys=False),
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
        curated_sets=[curated_samples(workspace, t, shards) for t in iterations],
        iterations=_iterations(workspace),
        **_selection(workspace),
        win_rates=rates,
        win_rates_are_compared=bool(facts.get("comparisons")),
        win_rates_plot_png=_win_rates_plot(rates),
        data_statistics=[
            DataStatisticsRow(**row) for row in datasets.read(DATA_STATISTICS).to_dicts()
        ],
        diversity=_diversity(workspace),
        timings=_timings(models, steps),
        sections=report_sections(workspace),
    )


def shown_recipe(value: Any) -> Any:
    """The recipe's values for others to read: URLs without what may sign them."""
    if isinstance(value, dict):
        return {name: shown_recipe(part) for name, part in value.items()}
    if isinstance(value, list):
        return [shown_recipe(part) for part in value]
    return redacted(value) if isinstance(value, str) else value


def _timings(models: Sequence[ModelSummary], steps: Sequence[Timing]) -> list[Timing]:
    """The steps with the tokens of trainings; the trainings alone where no step is known."""
    tokens = {model.name: model.tokens for model in models}
    if steps:
        return [step.model_copy(update={"tokens": tokens.get(step.step)}) for step in steps]
    return [
        Timing(step=f"training {model.name}", seconds=model.seconds, tokens=model.tokens)
        for model in models
        if model.seconds is not None
    ]


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


def _iterations(workspace: Workspace) -> list[IterationRow]:
    last = curated_set_name(workspace.recipe.curation.iterations)
    rows = workspace.datasets.manifest(last).facts["iterations"]
    return [IterationRow(**row) for row in rows]


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


def _win_rates(facts: Mapping[str, Any]) -> list[WinRateRow]:
    details = {row["model"]: row for row in facts.get("win_rate_details", ())}
    known = WinRateRow.model_fields
    rows = []
    for row in facts["win_rates"]:
        own = details.get(row["model"])
        bounds = (own["interval_low"], own["interval_high"]) if own else None
        values = {name: value for name, value in row.items() if name in known}
        rows.append(WinRateRow(**{**values, "interval": bounds}))
    return rows


def _win_rates_plot(rows: Sequence[WinRateRow]) -> bytes:
    from humpback_pipeline.evaluation.win_rate_plot import WinRateBar, win_rate_plot

    return win_rate_plot(
        [
            WinRateBar(
                row.model,
                row.rate,
                *(row.interval or (row.rate, row.rate)),
                row.length_controlled_rate,
            )
            for row in rows
        ]
    )


def _diversity(workspace: Workspace) -> list[DiversitySummary]:
    import base64

    manifest = workspace.datasets.manifest(INSTRUCTION_DIVERSITY)
    plots = {
        name: base64.b64decode(uri.split(",", 1)[1])
        for name, uri in manifest.facts["sunbursts"].items()
    }
    known = [name for name in DiversitySummary.model_fields if name != "sunburst_png"]
    rows = workspace.datasets.read(INSTRUCTION_DIVERSITY).select(known).to_dicts()
    return [DiversitySummary(**row, sunburst_png=plots.get(row["dataset"])) for row in rows]
