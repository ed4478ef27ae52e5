"""An engine that starts when it is first asked: if the ledger has all answers, it never does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from humpback_pipeline.generation.devices import EngineSlot
from humpback_pipeline.generation.engine import (
    GenerationError,
    TextGenerator,
    open_generator,
)
from humpback_pipeline.generation.streamed_answers import StreamedAnswers
from humpback_pipeline.generation.streaming import Feed, Stream, Task, stream_answers
from humpback_pipeline.generation.vllm_engine import served_hash
from humpback_pipeline.generation.window import window_tokens
from humpback_pipeline.models import adapter_base
from humpback_pipeline.recipe import GenerationRecipe


class LazyGenerator(StreamedAnswers):
    """A TextGenerator whose engine starts with the first question, and again after `close`.

    `folder` is a full model or an adapter; not for endpoints, which start nothing.
    """

    def __init__(
        self,
        folder: Path,
        settings: GenerationRecipe,
        *,
        cache_dir: Path | None = None,
        devices: EngineSlot | None = None,
    ) -> None:
        self._folder, self._settings = folder, settings
        self._cache_dir, self._devices = cache_dir, devices
        self.name = f"{settings.engine}:{folder.name}"
        self.identity: dict[str, str | int] = engine_identity(folder, settings, cache_dir)
        self.model_hash = str(self.identity["model"])
        self._engine: TextGenerator | None = None
        self._n_truncated = 0

    @property
    def devices(self) -> EngineSlot | None:
        """Where the engine would run; None: wherever it likes."""
        return self._devices

    @property
    def n_truncated(self) -> int:
        """Prompts cut to fit so far."""
        return self._n_truncated + (self._engine.n_truncated if self._engine is not None else 0)

    def stream(self, task: Task, feed: Feed[Any]) -> Stream:
        """See StreamingEngine."""
        return stream_answers(self._started(), task, feed)

    def close(self) -> None:
        """Stop the engine if it runs."""
        if self._engine is not None:
            self._n_truncated += self._engine.n_truncated
            self._engine.close()
            self._engine = None

    def _started(self) -> TextGenerator:
        if self._engine is None:
            engine = open_generator(
                self._folder, self._settings, cache_dir=self._cache_dir, devices=self._devices
            )
            if engine.identity != self.identity:
                engine.close()
                raise GenerationError(_changed(self._folder, self.identity, engine.identity))
            self._engine = engine
        return self._engine


def _changed(folder: Path, expected: dict[str, str | int], found: dict[str, str | int]) -> str:
    names = [n for n in {**expected, **found} if expected.get(n) != found.get(n)]
    said = ", ".join(f"{n} {expected.get(n)} became {found.get(n)}" for n in names)
    return (
        f"{folder} is not what it was when this run began ({said}), so answers would be kept under "
        "the wrong name. Leave the model alone during a run, and start again; if only "
        "max_model_tokens differs, set generation.vllm.max_model_tokens to the lower one."
    )


def engine_identity(
    folder: Path, settings: GenerationRecipe, cache_dir: Path | None
) -> dict[str, str | int]:
    """What shapes an engine's answers besides a request, as the engine itself would say it."""
    window = settings.vllm.max_model_tokens
    if settings.engine == "transformers":
        from transformers import AutoConfig

        base = adapter_base(folder, cache_dir) or folder
        window = window_tokens(AutoConfig.from_pretrained(base, trust_remote_code=False), window)
    return {
        "engine": settings.engine,
        "model": served_hash(folder, cache_dir),
        "max_model_tokens": window,
        "seed": settings.seed,
    }
