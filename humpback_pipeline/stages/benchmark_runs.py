"""Running benchmark tasks on models, each once: what a model scored is kept by its content."""

from __future__ import annotations

import gc
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from humpback_pipeline.progress import OnProgress, Progress
from humpback_pipeline.stages.evaluated_models import EvaluatedModel
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import write_json_atomic

if TYPE_CHECKING:
    from humpback_pipeline.evaluation.lm_eval_results import TaskResult
    from humpback_pipeline.evaluation.lm_eval_tasks import TaskRunner


def run_tasks(
    workspace: Workspace,
    models: Sequence[EvaluatedModel],
    runner: TaskRunner,
    settings: Mapping[str, Any],
    on_progress: OnProgress,
) -> dict[str, dict[str, TaskResult]]:
    """Model → task → result, from the cache where it is there.

    settings: all that shapes a score besides the model and the task. Raises BenchmarkError.
    """
    folder = workspace.cache_dir / "benchmarks"
    places = {
        (model.name, task): folder / f"{_cache_key(model, task, settings)}.json"
        for model in models
        for task in runner.names
    }
    missing = {place for place, path in places.items() if workspace.rebuild or not path.is_file()}
    runner.check_data([task for task in runner.names if any(t == task for _, t in missing)])
    n_done, started = 0, perf_counter()
    for model in models:
        tasks = [task for task in runner.names if (model.name, task) in missing]
        if not tasks:
            continue
        with _loaded(workspace, model, runner.settings.batch_size) as wrapped:
            for task in tasks:
                result = runner.run(task, wrapped)
                write_json_atomic(places[model.name, task], asdict(result))
                n_done += 1
                on_progress(
                    Progress(
                        "benchmarks",
                        n_done,
                        len(missing),
                        "tasks",
                        perf_counter() - started,
                        f"{model.name}: {task} {_headline(result)}",
                    )
                )
    return {
        model.name: {task: _read(places[model.name, task]) for task in runner.names}
        for model in models
    }


@contextmanager
def _loaded(workspace: Workspace, model: EvaluatedModel, batch_size: int | str) -> Iterator[Any]:
    """The model as lm-eval sees it, on a device that no engine of ours uses meanwhile."""
    from humpback_pipeline.evaluation.lm_eval_tasks import wrap_model
    from humpback_pipeline.generation import lease_devices
    from humpback_pipeline.models import load_causal_lm, load_tokenizer, servable_directory

    trust = workspace.recipe.trust_remote_code
    with lease_devices(1) as (slot,), slot.in_this_process():
        folder = servable_directory(model.path, workspace.cache_dir, trust_remote_code=trust)
        weights = load_causal_lm(folder, trust_remote_code=trust)
        tokenizer = load_tokenizer(folder, trust_remote_code=trust)
        wrapped = wrap_model(weights, tokenizer, batch_size)
        try:
            yield wrapped
        finally:
            del weights, wrapped
            _free_memory()


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _cache_key(model: EvaluatedModel, task: str, settings: Mapping[str, Any]) -> str:
    facts = {"model": model.content_hash, "task": task, "settings": settings}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def _read(path: Path) -> TaskResult:
    from humpback_pipeline.evaluation.lm_eval_results import (
        Measure,
        QuestionScore,
        TaskResult,
    )

    content = json.loads(path.read_text(encoding="utf-8"))
    return TaskResult(
        tuple(Measure(**row) for row in content["measures"]),
        tuple(QuestionScore(**row) for row in content["scores"]),
    )


def _headline(result: TaskResult) -> str:
    first = next((m for m in reversed(result.measures) if m.is_group), None) or result.measures[0]
    return f"{first.metric} {first.value:.3f}"
