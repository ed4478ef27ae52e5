"""The vLLM engine in a child process: both ends of what they say to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humpback_pipeline.generation.engine_process import EngineProcess, Handlers
from humpback_pipeline.generation.vllm_core import Completion, VllmCore, VllmModel
from humpback_pipeline.recipe import SamplingRecipe, VllmRecipe

if TYPE_CHECKING:
    from humpback_pipeline.generation.devices import EngineSlot


class VllmProcess:
    """As `VllmCore`, in a child process. `pid` is the child's."""

    def __init__(
        self,
        model: VllmModel,
        settings: VllmRecipe,
        seed: int,
        devices: EngineSlot | None = None,
    ) -> None:
        adapter = str(model.adapter) if model.adapter is not None else None
        arguments = {
            "model": {"path": str(model.path), "adapter": adapter, "rank": model.adapter_rank},
            "settings": settings.model_dump(mode="json"),
            "seed": seed,
        }
        self._process = EngineProcess("vllm", arguments, devices)
        self.pid = self._process.pid

    def complete(self, prompts: Sequence[list[int]], sampling: SamplingRecipe) -> list[Completion]:
        """See `VllmCore.complete`."""
        answers = self._process.ask(
            "complete", prompts=list(prompts), sampling=sampling.model_dump(mode="json")
        )
        return [Completion(**answer) for answer in answers]

    def choice_logprobs(
        self, prompts: Sequence[list[int]], token_ids: Sequence[list[int]]
    ) -> list[list[float]]:
        """See `VllmCore.choice_logprobs`."""
        answers: list[list[float]] = self._process.ask(
            "choice_logprobs", prompts=list(prompts), token_ids=list(token_ids)
        )
        return answers

    def close(self) -> None:
        """End the child."""
        self._process.close()


def vllm_handlers() -> Handlers:
    """What the child answers."""
    cores: list[VllmCore] = []

    def start(model: dict[str, Any], settings: dict[str, Any], seed: int) -> None:
        adapter = Path(model["adapter"]) if model["adapter"] else None
        served = VllmModel(Path(model["path"]), adapter, model["rank"])
        cores.append(VllmCore(served, VllmRecipe(**settings), seed))

    def complete(prompts: list[list[int]], sampling: dict[str, Any]) -> list[dict[str, Any]]:
        return [asdict(c) for c in cores[0].complete(prompts, SamplingRecipe(**sampling))]

    def choice_logprobs(prompts: list[list[int]], token_ids: list[list[int]]) -> list[list[float]]:
        return cores[0].choice_logprobs(prompts, token_ids)

    return {"start": start, "complete": complete, "choice_logprobs": choice_logprobs}
