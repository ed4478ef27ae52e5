"""Benchmarks of lm-evaluation-harness on a loaded model, with intervals and single answers.

Source: EleutherAI's `lm-eval` (MIT). A task is one of its own, whose data set comes from the hub or
the hub's cache, or a YAML file of the user's; paths in such a file are relative to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from humpback_pipeline.evaluation.lm_eval_results import TaskResult, task_result

FEWSHOT_SEED: Final = 1234  # lm-eval's own default
_BOOTSTRAP_ITERATIONS: Final = 1_000


class BenchmarkError(RuntimeError):
    """A task cannot be run; the message names it and the remedy."""


@dataclass(frozen=True)
class TaskSettings:
    """How tasks are asked; see `BenchmarksRecipe`.

    system: system message under a chat template. data_cache_dir: where data files beside local
    task files are converted to; hub data sets stay in the hub's own cache.
    """

    include_path: Path | None = None
    data_cache_dir: Path | None = None
    limit: int | None = None
    num_fewshot: int | None = 0
    batch_size: int | str = 8
    chat_template: bool = False
    system: str | None = None


def lm_eval_version() -> str:
    """The installed version. Raises BenchmarkError where there is none."""
    import importlib.metadata

    try:
        return importlib.metadata.version("lm-eval")
    except importlib.metadata.PackageNotFoundError as error:
        raise BenchmarkError(
            "evaluation.benchmarks needs lm-evaluation-harness: pip install "
            "'humpback-pipeline[benchmarks]', or take the section out of the recipe."
        ) from error


class TaskRunner:
    """The tasks that lm-eval and a folder of the user's define."""

    def __init__(self, patterns: Sequence[str], settings: TaskSettings) -> None:
        """Find the tasks named by `patterns`. Raises BenchmarkError for one that nobody knows."""
        self.settings = settings
        self._manager = _open_manager(settings, include_defaults=False)
        # Reading lm-eval's own fourteen thousand names takes seconds; local tasks need none.
        if any(not self._matches(pattern) for pattern in patterns):
            self._manager = _open_manager(settings, include_defaults=True)
        names: dict[str, None] = {}
        for pattern in patterns:
            found = self._matches(pattern)
            if not found:
                raise BenchmarkError(self._unknown(pattern))
            names |= dict.fromkeys(found)
        self.names = tuple(names)

    def check_data(self, names: Sequence[str]) -> None:
        """Load the data sets of tasks, before any model is. Raises BenchmarkError."""
        for name in names:
            self._load(name)

    def run(self, name: str, model: Any) -> TaskResult:
        """Ask a model (see `wrap_model`) the questions of one task. Raises BenchmarkError."""
        from lm_eval.evaluator import evaluate

        settings = self.settings
        loaded = self._load(name)
        for task in loaded["tasks"].values():
            _set_fewshot(task, settings.num_fewshot)
        results: Mapping[str, Any] = evaluate(
            model,
            loaded,
            limit=settings.limit,
            bootstrap_iters=_BOOTSTRAP_ITERATIONS,
            system_instruction=settings.system if settings.chat_template else None,
            apply_chat_template=settings.chat_template,
        )
        return task_result(results)

    def _matches(self, pattern: str) -> list[str]:
        return list(self._manager.match_tasks([pattern]))

    def _unknown(self, pattern: str) -> str:
        import difflib

        close = difflib.get_close_matches(pattern, self._manager.all_tasks, n=3)
        hint = f" Did you mean {' or '.join(close)}?" if close else ""
        place = self.settings.include_path
        where = f" nor a file in {place}" if place else ""
        return (
            f"evaluation.benchmarks.tasks: lm-eval has no task {pattern!r}{where}.{hint} Name a "
            "task, group or pattern, or set evaluation.benchmarks.include_path to a folder with "
            "its YAML file."
        )

    def _load(self, name: str) -> dict[str, Any]:
        try:
            return dict(self._manager.load([name]))
        # Whatever a task's own code and `datasets` may raise: the remedy is one and the same.
        except Exception as error:
            raise BenchmarkError(self._not_loaded(name, error)) from error

    def _not_loaded(self, name: str, error: Exception) -> str:
        from lm_eval.tasks._yaml_loader import load_yaml

        path = self._manager.task_index[name].yaml_path
        config = load_yaml(path, resolve_func=False) if path else {}
        data = config.get("dataset_path")
        named = f" ({data})" if data else ""
        return (
            f"benchmark task {name!r}: its data set{named} cannot be loaded: {error}. Remedy: run "
            "once where the hub can be reached, or copy the data set into this machine's hub cache "
            "(HF_HOME); or name local task files in evaluation.benchmarks.include_path; or take "
            f"{name} out of evaluation.benchmarks.tasks."
        )


def wrap_model(model: Any, tokenizer: Any, batch_size: int | str) -> Any:
    """lm-eval's view of a loaded transformers model, which stays where it is.

    A tokenizer without a token for beginnings has texts begin with its end token, as lm-eval has it
    for questions without a context (CrowS-Pairs).
    """
    from lm_eval.models.huggingface import HFLM

    # In a bf16 model's own precision the log-likelihood of a sentence is rounded to whole nats.
    return HFLM(
        pretrained=model, tokenizer=tokenizer, batch_size=batch_size, softmax_dtype="float32"
    )


def _open_manager(settings: TaskSettings, *, include_defaults: bool) -> Any:
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._factory import TaskFactory

    class LocalFactory(TaskFactory):
        """Takes the data files of a task file to lie beside it, not where the process runs."""

        def _load_full_config(self, entry: Any, overrides: Any = None) -> dict[str, Any]:
            config: dict[str, Any] = super()._load_full_config(entry, overrides)
            if entry.yaml_path:
                _anchor_data_files(config, Path(entry.yaml_path).parent, settings.data_cache_dir)
            return config

    include = str(settings.include_path) if settings.include_path else None
    if include and not Path(include).is_dir():
        raise BenchmarkError(
            f"evaluation.benchmarks.include_path: {include} is no folder; name one with task files."
        )
    manager = TaskManager(include_path=include, include_defaults=include_defaults)
    manager._factory = LocalFactory(meta=None)  # lm-eval has no other way in
    return manager


def _anchor_data_files(config: dict[str, Any], folder: Path, cache_dir: Path | None) -> None:
    options = config.get("dataset_kwargs") or {}
    files = options.get("data_files")
    if not files:
        return
    options["data_files"] = _anchored(files, folder)
    if cache_dir is not None:
        options.setdefault("cache_dir", str(cache_dir))


def _anchored(files: Any, folder: Path) -> Any:
    if isinstance(files, Mapping):
        return {split: _anchored(file, folder) for split, file in files.items()}
    if isinstance(files, list):
        return [_anchored(file, folder) for file in files]
    return files if "://" in files else str(folder / files)


def _set_fewshot(task: Any, n: int | None) -> None:
    """As lm-eval's own entry does: 0 in a task's file stays 0."""
    own = task.get_config("num_fewshot")
    if n is not None and own != 0:
        task.set_config(key="num_fewshot", value=n)
    elif own is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
