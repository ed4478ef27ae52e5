"""Shards on several engines at once: each engine takes the next shard as soon as it is free."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from humpback_pipeline.generation.devices import EngineSlot, lease_devices, visible_gpus
from humpback_pipeline.generation.engine import TextGenerator
from humpback_pipeline.progress import OnProgress, Progress, ignore_progress
from humpback_pipeline.recipe import GenerationRecipe

# A signal may reach another thread than this one, and would not end a wait without a limit.
INTERRUPT_POLL_S = 0.5

Result = TypeVar("Result")
OpenEngine = Callable[[EngineSlot], TextGenerator]
Work = Callable[[TextGenerator, str, OnProgress], Result]


def for_each_shard(
    shards: Sequence[str],
    open_engine: OpenEngine,
    work: Work[Result],
    *,
    settings: GenerationRecipe,
    on_progress: OnProgress = ignore_progress,
    lock_dir: Path | None = None,
) -> Iterator[tuple[str, Result]]:
    """`work` on each shard, on as many engines as `settings` and the free GPUs allow.

    Yields (shard, result) as they finish, each exactly once. Without a shard no engine is opened.
    With one engine all happens in the caller's thread; with several, `work` runs in a thread for
    each and `on_progress` is called in the caller's. The first error, or closing this iterator,
    ends all engines at once. `lock_dir`: see `lease_devices`. Raises what `work` raises.
    """
    if not shards:
        return
    if settings.engine == "endpoint":  # its requests are concurrent by themselves
        yield from _in_this_thread(shards, open_engine, work, EngineSlot(), on_progress)
        return
    most = settings.engines or (len(shards) if visible_gpus() else 1)
    group = settings.vllm.tensor_parallel_size if settings.engine == "vllm" else 1
    with lease_devices(min(most, len(shards)), group, lock_dir) as slots:
        if len(slots) == 1:
            yield from _in_this_thread(shards, open_engine, work, slots[0], on_progress)
        else:
            yield from _in_threads(shards, open_engine, work, slots, on_progress)


def _in_this_thread(
    shards: Sequence[str],
    open_engine: OpenEngine,
    work: Work[Result],
    slot: EngineSlot,
    on_progress: OnProgress,
) -> Iterator[tuple[str, Result]]:
    with slot.in_this_process(), open_engine(slot) as engine:
        for shard in shards:
            yield shard, work(engine, shard, on_progress)


@dataclass(frozen=True)
class _Finished(Generic[Result]):
    shard: str
    result: Result


# What the threads have to say; None: one has come to its end.
_News = queue.SimpleQueue[_Finished[Result] | Progress | BaseException | None]


def _in_threads(
    shards: Sequence[str],
    open_engine: OpenEngine,
    work: Work[Result],
    slots: Sequence[EngineSlot],
    on_progress: OnProgress,
) -> Iterator[tuple[str, Result]]:
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    for shard in shards:
        todo.put(shard)
    news: _News[Result] = queue.SimpleQueue()
    stopping = threading.Event()
    threads = [
        threading.Thread(
            target=_drive,
            args=(slot, todo, open_engine, work, news, stopping),
            name=f"engine-{n}",
            daemon=True,
        )
        for n, slot in enumerate(slots)
    ]
    for thread in threads:
        thread.start()
    try:
        yield from _results(news, len(threads), on_progress)
    finally:
        stopping.set()
        for slot in slots:
            slot.end()
        for thread in threads:
            thread.join()


def _drive(
    slot: EngineSlot,
    todo: queue.SimpleQueue[str],
    open_engine: OpenEngine,
    work: Work[Result],
    news: _News[Result],
    stopping: threading.Event,
) -> None:
    """One thread: an engine for as long as there are shards."""
    try:
        shard = _next(todo)
        if shard is not None:
            with open_engine(slot) as engine:
                while shard is not None and not stopping.is_set():
                    news.put(_Finished(shard, work(engine, shard, news.put)))
                    shard = _next(todo)
        news.put(None)
    except BaseException as error:
        news.put(error)


def _results(
    news: _News[Result], n_threads: int, on_progress: OnProgress
) -> Iterator[tuple[str, Result]]:
    """What the threads have finished, until all of them have ended or one has failed."""
    n_ended = 0
    while n_ended < n_threads:
        try:
            item = news.get(timeout=INTERRUPT_POLL_S)
        except queue.Empty:
            continue
        if isinstance(item, BaseException):
            raise item
        if isinstance(item, Progress):
            on_progress(item)
        elif item is None:
            n_ended += 1
        else:
            yield item.shard, item.result


def _next(todo: queue.SimpleQueue[str]) -> str | None:
    try:
        return todo.get_nowait()
    except queue.Empty:
        return None
