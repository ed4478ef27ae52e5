"""A run's figures, gathered from manifests: the same for the report, the summary and the UI."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from humpback_pipeline.evaluation.report_data import FunnelStage, ModelSummary
from humpback_pipeline.stages.augmentation import (
    AUGMENTED_SET,
    augmented_set_names,
    backward_model_names,
)
from humpback_pipeline.stages.corpus import SEGMENTS
from humpback_pipeline.stages.corpus_selection import SELECTION
from humpback_pipeline.stages.iteration_names import curated_set_name, model_name, scores_name
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.selection_quality import SELECTION_QUALITY
from humpback_pipeline.stages.workspace import Workspace


def selected_shards(workspace: Workspace) -> list[str]:
    """The shards that the current selection was made over. Raises NotMaterializedError."""
    keys = workspace.datasets.manifest(SELECTION).inputs
    return [key.partition("/")[2] for key in keys]


def funnel(workspace: Workspace, shards: Sequence[str]) -> list[FunnelStage]:
    """Rows at every stage from pages to curated pairs, with what was dropped and why."""
    datasets = workspace.datasets
    seeds = datasets.manifest(SEED_PAIRS)
    segments = datasets.manifests(SEGMENTS, shards)
    selection = datasets.manifest(SELECTION)
    lost = [f"{m.partition}: {m.facts['partial']}" for m in segments if m.facts["partial"]]
    stages = [
        FunnelStage(stage="Seed pairs", rows=seeds.rows or 0, dropped=seeds.facts["dropped"]),
        FunnelStage(
            stage="HTML pages",
            rows=sum(m.facts["n_documents"] for m in segments),
            dropped=_added(m.facts["document_drops"] for m in segments),
            note="; ".join(lost) or None,
        ),
        FunnelStage(
            stage="Segments",
            rows=sum(m.rows or 0 for m in segments),
            dropped=_added(m.facts["segment_drops"] for m in segments),
        ),
        FunnelStage(
            stage="Selected segments",
            rows=selection.facts["n_selected"],
            dropped=selection.facts["reasons"],
        ),
        *(_augmented(workspace, name, shards) for name in augmented_set_names(workspace.recipe)),
    ]
    for iteration in range(1, workspace.recipe.curation.iterations + 1):
        curated = datasets.manifest(curated_set_name(iteration))
        stages.append(
            FunnelStage(
                stage=f"Curated set A({iteration})",
                rows=curated.rows or 0,
                dropped=curated.facts["dropped"],
            )
        )
    return stages


def _augmented(workspace: Workspace, name: str, shards: Sequence[str]) -> FunnelStage:
    manifests = workspace.datasets.manifests(name, shards)
    iteration = name.removeprefix(AUGMENTED_SET).removeprefix("_")
    return FunnelStage(
        stage=f"Augmented pairs ({iteration})" if iteration else "Augmented pairs",
        rows=sum(m.rows or 0 for m in manifests),
        dropped=_added(m.facts["dropped"] for m in manifests),
    )


def trained_models(workspace: Workspace) -> list[ModelSummary]:
    """Backward models, M_0 … M_T: held-out loss before and after, size of the training."""
    from humpback_pipeline.evaluation import loss_curve

    names = [model_name(t) for t in range(workspace.recipe.curation.iterations + 1)]
    summaries = []
    for name in (*backward_model_names(workspace.recipe), *names):
        manifest = workspace.models.manifest(name)
        facts = manifest.facts
        summaries.append(
            ModelSummary(
                name=name,
                description=" + ".join(f"{n} {what}" for what, n in facts["mixture"].items()),
                loss_before=facts["loss_before"],
                loss_after=facts["loss_after"],
                n_held_out=facts["n_held_out"],
                n_examples=facts["n_examples"],
                steps=facts["steps"],
                tokens=facts["n_tokens"],
                tokens_per_s=facts["tokens_per_s"],
                seconds=facts["elapsed_s"],
                loss_curve_png=loss_curve(
                    [(step, loss) for step, loss, _ in facts["train_curve"] if loss is not None],
                    [(step, loss) for step, loss in facts["held_out_curve"] if loss is not None],
                    title=name,
                ),
            )
        )
    return summaries


def ratings(workspace: Workspace, iteration: int, shards: Sequence[str]) -> pl.Series:
    """All ratings of one iteration."""
    scores = workspace.datasets.scan_partitions(scores_name(iteration), shards)
    return scores.select("rating").collect()["rating"]


def text_histogram(values: pl.Series, low: float = 1.0, high: float = 5.0, bins: int = 8) -> str:
    """Lines of a histogram for the terminal: range, count, bar."""
    width = (high - low) / bins
    counts = [0] * bins
    for value in values.to_list():
        counts[min(bins - 1, int((value - low) / width))] += 1
    largest = max(1, *counts)
    lines = []
    for i, n in enumerate(counts):
        start = low + i * width
        lines.append(f"    {start:.1f}-{start + width:.1f} {n:>6,} {'█' * round(30 * n / largest)}")
    return "\n".join(lines)


def print_lines(workspace: Workspace, shards: Sequence[str], report: str) -> list[str]:
    """The summary that ends `make demo`, line by line."""
    lines = ["Rows at every stage"]
    for stage in funnel(workspace, shards):
        dropped = ", ".join(f"{n} {reason}" for reason, n in sorted(stage.dropped.items()))
        lines.append(
            f"  {stage.stage:<20}{stage.rows:>8,}" + (f"   dropped: {dropped}" if dropped else "")
        )
        if stage.note:
            lines.append(f"    partly read: {stage.note}")
    lines.append("Loss on held-out seed pairs (nats per token), before → after training")
    for model in trained_models(workspace):
        if model.loss_before is None or model.loss_after is None:
            lines.append(f"  {model.name:<20} not measured: no held-out pairs")
            continue
        lines.append(
            f"  {model.name:<20}{model.loss_before:>8.3f} → {model.loss_after:.3f}   "
            f"({model.description}, {model.steps} steps, {model.tokens_per_s:.0f} tokens/s)"
        )
    for iteration in range(1, workspace.recipe.curation.iterations + 1):
        values = ratings(workspace, iteration, shards)
        lines.append(
            f"Ratings by {model_name(iteration - 1)} (iteration {iteration}, {len(values)} pairs)"
        )
        lines.append(text_histogram(values))
    lines += _quality_lines(workspace)
    lines.append(f"Report: {report}")
    return lines


def _quality_lines(workspace: Workspace) -> list[str]:
    measured = workspace.datasets.manifest(SELECTION_QUALITY).facts
    quality = measured["quality"]
    on = (
        f"{quality[0]['n']} labelled pairs ({quality[0]['n_positive']} good)" if quality else "none"
    )
    lines = [f"Selection by scorer '{measured['scorer']}' on {on}"]
    for row in quality:
        kept = (
            "the target precision is not reached"
            if row["threshold"] is None
            else f"rating ≥ {row['threshold']:.2f} keeps {row['n_selected']}"
        )
        lines.append(
            f"  {row['rater']:<8} precision {row['precision']:.2f}  recall {row['recall']:.2f}  "
            f"AUC {row['auc']:.2f}  ({kept})"
        )
    facts = workspace.datasets.manifest(WIN_RATES).facts
    lines.append(f"Win rate over the reference answers, judged by {facts['judge']}")
    for row in facts["win_rates"]:
        lines.append(
            f"  {row['model']:<8} {row['rate']:.1f} % ± {row['standard_error']:.1f} "
            f"(n = {row['n']} prompts)"
        )
    return lines


def _added(counts: Any) -> dict[str, int]:
    total: dict[str, int] = {}
    for count in counts:
        for reason, n in count.items():
            total[reason] = total.get(reason, 0) + n
    return total
