"""The transformers engine in a child process, for where several engines work side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from humpback_pipeline.generation.devices import EngineSlot
from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    ClosesOnExit,
    Generation,
    GenerationRequest,
)
from humpback_pipeline.generation.engine_process import EngineProcess, Handlers
from humpback_pipeline.recipe import GenerationRecipe, SamplingRecipe


class TransformersProcess(ClosesOnExit):
    """As `TransformersGenerator`, in a child process on the GPU of a slot."""

    def __init__(
        self,
        folder: Path,
        settings: GenerationRecipe,
        *,
        cache_dir: Path | None,
        devices: EngineSlot,
    ) -> None:
        from humpback_pipeline.models import servable_directory

        servable_directory(folder, cache_dir)  # merged here, so that no half merge is a child's
        arguments = {
            "folder": str(folder),
            "settings": settings.model_dump(mode="json"),
            "cache_dir": str(cache_dir) if cache_dir is not None else None,
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

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingRecipe
    ) -> list[Generation]:
        """See TextGenerator."""
        answers = self._ask("generate", requests, sampling=sampling.model_dump(mode="json"))
        return [Generation(**answer) for answer in answers]

    def choose(
        self, requests: Sequence[GenerationRequest], choices: tuple[str, ...]
    ) -> list[ChoiceProbabilities]:
        """See TextGenerator."""
        answers = self._ask("choose", requests, choices=choices)
        return [
            ChoiceProbabilities(**{**answer, "probabilities": tuple(answer["probabilities"])})
            for answer in answers
        ]

    def close(self) -> None:
        """End the child."""
        self._process.close()

    def _ask(
        self, method: str, requests: Sequence[GenerationRequest], **arguments: Any
    ) -> list[dict[str, Any]]:
        plain = [asdict(request) for request in requests]
        answer = self._process.ask(method, requests=plain, **arguments)
        self.n_truncated = answer["n_truncated"]
        answers: list[dict[str, Any]] = answer["answers"]
        return answers


def transformers_handlers() -> Handlers:
    """What the child answers."""
    from humpback_pipeline.generation.transformers_engine import TransformersGenerator

    engines: list[TransformersGenerator] = []

    def start(folder: str, settings: dict[str, Any], cache_dir: str | None) -> dict[str, Any]:
        cache = Path(cache_dir) if cache_dir else None
        engine = TransformersGenerator(Path(folder), GenerationRecipe(**settings), cache_dir=cache)
        engines.append(engine)
        return {
            "name": engine.name,
            "model_hash": engine.model_hash,
            "identity": engine.identity,
        }

    def generate(requests: list[dict[str, Any]], sampling: dict[str, Any]) -> dict[str, Any]:
        answers = engines[0].generate(_requests(requests), SamplingRecipe(**sampling))
        return _answer(engines[0], answers)

    def choose(requests: list[dict[str, Any]], choices: list[str]) -> dict[str, Any]:
        return _answer(engines[0], engines[0].choose(_requests(requests), tuple(choices)))

    return {"start": start, "generate": generate, "choose": choose}


def _requests(plain: list[dict[str, Any]]) -> list[GenerationRequest]:
    return [GenerationRequest(**{**one, "cuttable": tuple(one["cuttable"])}) for one in plain]


def _answer(
    engine: Any, answers: Sequence[Generation] | Sequence[ChoiceProbabilities]
) -> dict[str, Any]:
    return {"answers": [asdict(one) for one in answers], "n_truncated": engine.n_truncated}
