"""Benchmarks of lm-evaluation-harness for the base model and every M_t (paper section 3.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe_benchmarks import BenchmarksRecipe
from humpback_pipeline.stages.benchmark_runs import run_tasks
from humpback_pipeline.stages.evaluated_models import (
    compared_models,
    evaluated_models,
)
from humpback_pipeline.stages.responses import BASE
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import (
    Manifest,
    Provenance,
    hash_file,
    hash_text,
)

if TYPE_CHECKING:
    from humpback_pipeline.evaluation.lm_eval_results import TaskResult
    from humpback_pipeline.evaluation.lm_eval_tasks import TaskSettings

BENCHMARK_RESULTS = "benchmark_results"
RESULTS_SCHEMA = {
    "model": pl.String,
    "task": pl.String,
    "metric": pl.String,
    "score": pl.Float64,
    "score_error": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "is_group": pl.Boolean,
    "higher_is_better": pl.Boolean,
}


def write_benchmark_results(
    workspace: Workspace, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Run the recipe's tasks on the base model and every M_t; columns `RESULTS_SCHEMA`.

    What a model scored on a task is kept by the content of both, so that a later run, or one after
    a crash, only does what is missing. Raises BenchmarkError; ValueError without a recipe for it.
    """
    from humpback_pipeline.evaluation.lm_eval_tasks import TaskRunner, lm_eval_version

    recipe = benchmarks_recipe(workspace)
    models = evaluated_models(workspace)
    settings = recipe.model_dump(mode="json", exclude={"include_path", "batch_size"})
    settings["lm_eval"] = lm_eval_version()
    if recipe.chat_template:
        settings["tags"] = workspace.prompts.hashes()["tags"]
    files = _task_files(recipe.include_path)
    origin = workspace.origin(
        BENCHMARK_RESULTS,
        inputs=[workspace.models.manifest(model.name) for model in models if model.name != BASE],
        sources=workspace.base_model_source().merged([Provenance(datasets=files)]),
        settings=settings,
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    runner = TaskRunner(recipe.tasks, _task_settings(workspace, recipe))
    settings.pop("tasks")  # what one task gives does not depend on the others
    results = run_tasks(workspace, models, runner, {**settings, "files": files}, on_progress)
    rows = [
        {
            "model": model,
            **asdict(measure),
            "score": measure.value,
            "score_error": measure.standard_error,
        }
        for model, by_task in results.items()
        for result in by_task.values()
        for measure in result.measures
    ]
    frame = pl.DataFrame(rows, schema=RESULTS_SCHEMA)
    # A group and one of its parts may both be named.
    frame = frame.unique(["model", "task", "metric"], keep="first", maintain_order=True)
    return workspace.write_dataset(
        origin,
        frame,
        RESULTS_SCHEMA,
        facts={
            "tasks": list(runner.names),
            "lm_eval": settings["lm_eval"],
            "comparisons": _comparisons(results),
            "models": _by_model(frame, runner.names),
        },
    )


def _by_model(frame: pl.DataFrame, tasks: Sequence[str]) -> list[dict[str, Any]]:
    """One row a model, for lineage: task → metric → score, of the tasks asked for."""
    rows: dict[str, dict[str, Any]] = {}
    asked = frame.filter(pl.col("task").is_in(tasks))
    for model, task, metric, score in asked.select("model", "task", "metric", "score").iter_rows():
        rows.setdefault(model, {"model": model}).setdefault(task, {})[metric] = score
    return list(rows.values())


def benchmarks_recipe(workspace: Workspace) -> BenchmarksRecipe:
    """The recipe's section. Raises ValueError where there is none."""
    recipe = workspace.recipe.evaluation.benchmarks
    if recipe is None:
        raise ValueError("evaluation.benchmarks is empty; name its tasks in the recipe.")
    return recipe


def _task_settings(workspace: Workspace, recipe: BenchmarksRecipe) -> TaskSettings:
    from humpback_pipeline.evaluation.lm_eval_tasks import TaskSettings

    tags = [message["content"] for message in workspace.prompts.forward_messages("", "inference")]
    return TaskSettings(
        include_path=recipe.include_path,
        data_cache_dir=workspace.cache_dir / "benchmark_data",
        limit=recipe.limit,
        num_fewshot=recipe.num_fewshot,
        batch_size=recipe.batch_size,
        chat_template=recipe.chat_template,
        system=tags[0] or None,
    )


def _task_files(folder: Path | None) -> dict[str, str]:
    """Content hash of everything in the folder of task files."""
    if folder is None or not folder.is_dir():
        return {}
    files = sorted(f for f in folder.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    text = "\n".join(f"{hash_file(file)} {file.relative_to(folder)}" for file in files)
    return {f"file/evaluation.benchmarks.include_path/{folder.name}": hash_text(text)}


def _comparisons(results: Mapping[str, Mapping[str, TaskResult]]) -> list[dict[str, Any]]:
    """Each model with the one before it, and the last with the first, on the same questions."""
    from humpback_pipeline.evaluation.share_changes import adjusted, share_change

    keys, changes = [], []
    for before, after in compared_models(list(results)):
        for task, result in results[after].items():
            old, new = (_shares(r) for r in (results[before][task], result))
            for metric, scores in new.items():
                first = old.get(metric, {})
                if len(scores) > 1 and set(scores) == set(first):
                    keys.append({"task": task, "metric": metric, "before": before, "after": after})
                    changes.append(share_change([first[q] for q in scores], list(scores.values())))
    return [{**key, **asdict(c)} for key, c in zip(keys, adjusted(changes), strict=True)]


def _shares(result: TaskResult) -> dict[str, dict[tuple[str, int], bool]]:
    """Metric → question → whether it scored, of metrics that are shares of questions."""
    found: dict[str, dict[tuple[str, int], float]] = {}
    for score in result.scores:
        found.setdefault(score.metric, {})[score.task, score.question] = score.score
    return {
        metric: {question: bool(score) for question, score in scores.items()}
        for metric, scores in found.items()
        if set(scores.values()) <= {0.0, 1.0}
    }
