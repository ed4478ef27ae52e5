"""The transformers engine in a child process, for where several engines work side by side."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from humpback_pipeline.generation.devices import EngineSlot
from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    Generation,
    GenerationRequest,
    Likelihood,
    LikelihoodRequest,
)
from humpback_pipeline.generation.engine_process import EngineProcess
from humpback_pipeline.generation.streamed_answers import StreamedAnswers
from humpback_pipeline.generation.streaming import (
    Feed,
    MappedFeed,
    Stream,
    Task,
)
from humpback_pipeline.recipe import GenerationRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe


class TransformersProcess(StreamedAnswers):
    """As `TransformersGenerator`, in a child process on the GPU of a slot."""

    def __init__(
        self,
        folder: Path,
        settings: GenerationRecipe,
        *,
        cache_dir: Path | None,
        devices: EngineSlot | None = None,
        batch_fraction: float = 1.0,
    ) -> None:
        from humpback_pipeline.models import servable_directory

        servable_directory(folder, cache_dir)  # merged here, so that no half merge is a child's
        arguments = {
            "folder": str(folder),
            "settings": settings.model_dump(mode="json"),
            "cache_dir": str(cache_dir) if cache_dir is not None else None,
            "batch_fraction": batch_fraction,
        }
        self._process = EngineProcess("transformers", arguments, devices)
        self.pid = self._process.pid
        self.name: str = self._process.started["name"]
        self.model_hash: str = self._process.started["model_hash"]
        self.n_truncated = 0

    @property
    def identity(self) -> dict[str, str | int]:
        """What shapes answers besides the request."""
        return dict(self._process.started["identity"])

    def stream(self, task: Task, feed: Feed[Any]) -> Stream:
        """See StreamingEngine."""
        arguments: dict[str, Any] = {}
        if task.method == "generate":
            arguments = {"sampling": task.arguments[0].model_dump(mode="json")}
        elif task.method == "choose":
            arguments = {"choices": list(task.arguments[0])}
        plain = MappedFeed(feed, lambda _, request: asdict(request))
        for finished in self._process.stream(task.method, plain, **arguments):
            answers = [(i, _answer_of(task.method, answer)) for i, answer in finished]
            self.n_truncated += sum(was_cut(answer) for _, answer in answers)
            yield answers

    def close(self) -> None:
        """End the child."""
        self._process.close()


class ServedTransformers:
    """What the child answers with."""

    def start(
        self, folder: str, settings: dict[str, Any], cache_dir: str | None, batch_fraction: float
    ) -> dict[str, Any]:
        """Load the model; return what it is called and known by."""
        from humpback_pipeline.generation.transformers_engine import TransformersGenerator

        self._engine = TransformersGenerator(
            Path(folder),
            GenerationRecipe(**settings),
            cache_dir=Path(cache_dir) if cache_dir else None,
            batch_fraction=batch_fraction,
        )
        return {
            "name": self._engine.name,
            "model_hash": self._engine.model_hash,
            "identity": self._engine.identity,
        }

    def stream(self, method: Any, feed: Feed[Any], **arguments: Any) -> Stream:
        """`TransformersGenerator.stream` in JSON's types."""
        task = Task(method)
        if method == "generate":
            task = Task(method, (SamplingRecipe(**arguments["sampling"]),))
        elif method == "choose":
            task = Task(method, (tuple(arguments["choices"]),))
        requests = MappedFeed(feed, lambda _, plain: _request_of(method, plain))
        for finished in self._engine.stream(task, requests):
            yield [(i, asdict(answer)) for i, answer in finished]


def was_cut(answer: Generation | ChoiceProbabilities | Likelihood) -> bool:
    """Whether not all of a request fitted."""
    return answer.cut if isinstance(answer, Likelihood) else answer.prompt_cut


def _request_of(method: str, plain: dict[str, Any]) -> GenerationRequest | LikelihoodRequest:
    fields = {**plain, "cuttable": tuple(plain["cuttable"])}
    if method == "likelihoods":
        return LikelihoodRequest(**fields)
    return GenerationRequest(**{**fields, "stop": tuple(plain["stop"])})


def _answer_of(method: str, plain: dict[str, Any]) -> Generation | ChoiceProbabilities | Likelihood:
    if method == "generate":
        return Generation(**plain)
    if method == "likelihoods":
        return Likelihood(**plain)
    return ChoiceProbabilities(**{**plain, "probabilities": tuple(plain["probabilities"])})
