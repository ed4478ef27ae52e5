"""The vLLM engine in a child process: both ends of what they say to each other."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humpback_pipeline.generation.engine_process import EngineProcess
from humpback_pipeline.generation.streaming import Feed, MappedFeed, Stream
from humpback_pipeline.generation.vllm_core import VllmCore, VllmModel
from humpback_pipeline.generation.vllm_stream import Completion, Method, Prompt
from humpback_pipeline.recipe import VllmRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe

if TYPE_CHECKING:
    from humpback_pipeline.generation.devices import EngineSlot


class VllmProcess:
    """As `VllmCore`, in a child process. `pid` is the child's."""

    def __init__(
        self,
        model: VllmModel,
        settings: VllmRecipe,
        seed: int,
        batch_fraction: float = 1.0,
        devices: EngineSlot | None = None,
    ) -> None:
        adapter = str(model.adapter) if model.adapter is not None else None
        arguments = {
            "model": {"path": str(model.path), "adapter": adapter, "rank": model.adapter_rank},
            "settings": settings.model_dump(mode="json"),
            "seed": seed,
            "batch_fraction": batch_fraction,
        }
        self._process = EngineProcess("vllm", arguments, devices)
        self.pid = self._process.pid

    def stream(
        self, method: Method, feed: Feed[Prompt], sampling: SamplingRecipe | None = None
    ) -> Stream:
        """See `VllmCore.stream`."""
        plain = sampling.model_dump(mode="json") if sampling is not None else None
        for finished in self._process.stream(method, feed, sampling=plain):
            if method == "complete":
                yield [(i, Completion(**answer)) for i, answer in finished]
            else:
                yield finished

    def close(self) -> None:
        """End the child."""
        self._process.close()


class ServedVllm:
    """What the child answers with."""

    def start(
        self, model: dict[str, Any], settings: dict[str, Any], seed: int, batch_fraction: float
    ) -> None:
        """Start the engine."""
        adapter = Path(model["adapter"]) if model["adapter"] else None
        served = VllmModel(Path(model["path"]), adapter, model["rank"])
        self._core = VllmCore(served, VllmRecipe(**settings), seed, batch_fraction)

    def stream(
        self, method: Any, feed: Feed[Any], sampling: dict[str, Any] | None = None
    ) -> Stream:
        """`VllmCore.stream` in JSON's types."""
        prompts = MappedFeed(feed, lambda _, plain: Prompt(*plain))
        given = SamplingRecipe(**sampling) if sampling is not None else None
        for finished in self._core.stream(method, prompts, given):
            yield [(i, asdict(a) if isinstance(a, Completion) else a) for i, a in finished]
