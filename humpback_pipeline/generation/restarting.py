"""An engine that is opened anew when it dies or runs out of memory, each time with less at once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

from humpback_pipeline.generation.engine import (
    EngineDiedError,
    GenerationError,
    TextGenerator,
)
from humpback_pipeline.generation.memory import ran_out_of_memory
from humpback_pipeline.generation.streamed_answers import StreamedAnswers
from humpback_pipeline.generation.streaming import (
    Feed,
    ResumableFeed,
    Stream,
    Task,
    stream_answers,
)
from humpback_pipeline.recipe import GenerationRecipe

MAX_RESTARTS = 3
# An engine that has answered so many since its last restart is sound: memory ran out by chance.
SOUND_AFTER_ANSWERS = 1_000
MIN_BATCH_FRACTION = 0.5**MAX_RESTARTS
# vLLM claims its share of a GPU at the start, and fails if something else holds a little of it.
LESS_GPU_MEMORY = 0.9

# Opens an engine with settings and with a fraction of the tokens it usually computes at once.
OpenEngine = Callable[[GenerationRecipe, float], TextGenerator]

logger = logging.getLogger(__name__)


class RestartingGenerator(StreamedAnswers):
    """A TextGenerator on an engine that may die; what was not answered is then asked again.

    Each restart halves `generation.vllm.max_concurrent_sequences` and the tokens computed at once.
    After `MAX_RESTARTS` without `SOUND_AFTER_ANSWERS` answers in between it raises GenerationError,
    which says what to change. Wrong configuration is not tried twice. `given_up` tells whether
    nobody wants the engine any more.
    """

    def __init__(
        self,
        open_engine: OpenEngine,
        settings: GenerationRecipe,
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._open_engine, self._settings, self._given_up = open_engine, settings, given_up
        self._batch_fraction = 1.0
        self._n_restarts = self._n_answered = 0
        self._n_truncated_before = 0
        self._engine = self._open()
        self.name, self.model_hash = self._engine.name, self._engine.model_hash
        self._identity = dict(self._engine.identity)

    @property
    def n_truncated(self) -> int:
        """See TextGenerator. After a restart, those that are asked again count again."""
        return self._n_truncated_before + self._engine.n_truncated

    @property
    def identity(self) -> dict[str, str | int]:
        """See TextGenerator; a restart does not change it."""
        return dict(self._identity)

    @property
    def pid(self) -> int:
        """The process that the engine runs in now."""
        pid: int = self._engine.pid  # type: ignore[attr-defined]
        return pid

    def stream(self, task: Task, feed: Feed[Any]) -> Stream:
        """See StreamingEngine. What has been answered is not asked again."""
        resumable = ResumableFeed(feed)
        while True:
            try:
                with closing(stream_answers(self._engine, task, resumable)) as stream:
                    for finished in stream:
                        resumable.answered(finished)
                        self._count(len(finished))
                        yield finished
                return
            except Exception as error:
                self._check_may_restart(error)
                reason = _first_line(error)
            # Only here is the error forgotten, and with it what its frames held in memory.
            self._n_truncated_before += self._engine.n_truncated
            with suppress(Exception):  # nothing about a dead engine is worth stopping for
                self._engine.close()
            self._shrink(reason)
            self._engine = self._open()
            logger.warning("%d unanswered requests are asked again", resumable.rewind())

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        self._engine.close()

    def _count(self, n_answered: int) -> None:
        self._n_answered += n_answered
        if self._n_answered >= SOUND_AFTER_ANSWERS:
            self._n_restarts = 0

    def _open(self) -> TextGenerator:
        while True:
            try:
                return self._open_engine(self._settings, self._batch_fraction)
            except Exception as error:
                self._check_may_restart(error)
                reason = _first_line(error)
            self._shrink(reason)

    def _check_may_restart(self, error: Exception) -> None:
        """Raise the error itself, or one that says what to change, if a restart is of no use."""
        died = isinstance(error, EngineDiedError) or ran_out_of_memory(error)
        if not died or self._given_up():
            raise error
        if self._n_restarts == MAX_RESTARTS:
            vllm = self._settings.vllm
            raise GenerationError(
                f"the engine died {MAX_RESTARTS + 1} times, the last time with "
                f"max_concurrent_sequences {vllm.max_concurrent_sequences}: {error}\n"
                "Lower generation.vllm.max_concurrent_sequences and max_model_tokens, free memory "
                "(gpu_memory_fraction on a GPU, cpu_kv_cache_gib on a CPU), or use a smaller model."
            ) from error

    def _shrink(self, reason: str) -> None:
        self._n_restarts += 1
        self._n_answered = 0
        self._batch_fraction = max(MIN_BATCH_FRACTION, self._batch_fraction / 2)
        before = self._settings.vllm
        n = max(1, before.max_concurrent_sequences // 2)
        changed: dict[str, int | float] = {"max_concurrent_sequences": n}
        if "gpu memory utilization" in reason.lower():
            changed["gpu_memory_fraction"] = round(before.gpu_memory_fraction * LESS_GPU_MEMORY, 3)
        self._settings = self._settings.model_copy(
            update={"vllm": before.model_copy(update=changed)}
        )
        said = ", ".join(f"{k} {getattr(before, k)} → {value}" for k, value in changed.items())
        logger.warning(
            "the engine died (%s); it is started again (%d of %d) with a smaller batch: %s",
            reason,
            self._n_restarts,
            MAX_RESTARTS,
            said,
        )


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
