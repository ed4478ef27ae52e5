"""Shards on several engines: each once, errors at once, nothing left behind."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from tiny_settings import tiny_settings

from humpback_pipeline.generation import (
    EngineSlot,
    GenerationRequest,
    TextGenerator,
    for_each_shard,
    open_generator,
)
from humpback_pipeline.generation.engine import ClosesOnExit
from humpback_pipeline.progress import OnProgress, Progress
from humpback_pipeline.recipe import GenerationRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe

SHARDS = [f"s{n}" for n in range(6)]


class Engine(ClosesOnExit):
    """Stands for an engine where only who drives it, and when it closes, matters."""

    def __init__(self, slot: EngineSlot, opened: list[Engine]) -> None:
        self.slot, self.closed, self.shards = slot, False, []
        opened.append(self)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def opened() -> list[Engine]:
    return []


def on_engines(n: int | None) -> GenerationRecipe:
    return GenerationRecipe(engine="transformers", engines=n)


def opener(opened: list[Engine]) -> Callable[[EngineSlot], Any]:
    return lambda slot: Engine(slot, opened)


def note(engine: Any, shard: str, on_progress: OnProgress) -> str:
    engine.shards.append(shard)
    time.sleep(0.02)
    on_progress(Progress(shard, 1, 1, "rows", 0.1))
    return f"{shard} done"


@pytest.mark.parametrize("n", [None, 1, 3])
def test_each_shard_is_done_once(n: int | None, opened: list[Engine]) -> None:
    told: list[tuple[str, str]] = []

    def listen(progress: Progress) -> None:
        told.append((progress.stage, threading.current_thread().name))

    results = list(
        for_each_shard(SHARDS, opener(opened), note, settings=on_engines(n), on_progress=listen)
    )

    assert sorted(results) == [(shard, f"{shard} done") for shard in SHARDS]
    assert sorted(shard for engine in opened for shard in engine.shards) == SHARDS
    assert len(opened) == (n or 1)
    assert all(engine.closed for engine in opened)
    assert {name for _, name in told} == {threading.current_thread().name}
    assert sorted(stage for stage, _ in told) == SHARDS


def test_no_more_engines_than_shards_and_none_without_a_shard(opened: list[Engine]) -> None:
    assert list(for_each_shard([], opener(opened), note, settings=on_engines(3))) == []
    assert opened == []
    assert len(list(for_each_shard(["a"], opener(opened), note, settings=on_engines(3)))) == 1
    assert len(opened) == 1
    assert opened[0].slot.alone


@pytest.mark.parametrize("n", [1, 2])
def test_first_error_is_raised_and_the_rest_is_not_begun(n: int, opened: list[Engine]) -> None:
    begun = []

    def fail_at_second(engine: Any, shard: str, on_progress: OnProgress) -> str:
        begun.append(shard)
        if shard == "s1":
            raise ValueError("bad shard s1")
        time.sleep(0.2)
        return shard

    with pytest.raises(ValueError, match="bad shard s1"):
        list(for_each_shard(SHARDS, opener(opened), fail_at_second, settings=on_engines(n)))

    assert set(begun) <= {"s0", "s1"}
    assert all(engine.closed for engine in opened)
    assert not [t for t in threading.enumerate() if t.name.startswith("engine-")]


def test_closing_the_iterator_ends_engines_and_threads(opened: list[Engine]) -> None:
    results = for_each_shard(SHARDS, opener(opened), note, settings=on_engines(2))
    next(results)
    results.close()  # type: ignore[attr-defined]

    assert all(engine.closed for engine in opened)
    assert sum(len(engine.shards) for engine in opened) < len(SHARDS)
    assert not [t for t in threading.enumerate() if t.name.startswith("engine-")]


@pytest.mark.slow
def test_two_real_engines_answer_as_one_does(tiny_model: Path, cache_dir: Path) -> None:
    sampling = SamplingRecipe(max_new_tokens=8)
    settings = tiny_settings("transformers")
    pids: set[int] = set()

    def open_engine(slot: EngineSlot) -> TextGenerator:
        return open_generator(tiny_model, settings, cache_dir=cache_dir, devices=slot)

    def work(engine: TextGenerator, shard: str, on_progress: OnProgress) -> Any:
        pids.add(engine.pid)  # type: ignore[attr-defined]
        requests = [
            GenerationRequest(f"{shard}-{n}", [{"role": "user", "content": f"{shard} {n}"}])
            for n in range(3)
        ]
        rated = engine.choose(requests, ("1", "2"))
        return engine.generate(requests, sampling), rated, engine.identity

    answers = [
        dict(
            for_each_shard(
                SHARDS[:4], open_engine, work, settings=settings.model_copy(update={"engines": n})
            )
        )
        for n in (1, 2)
    ]

    for shard in SHARDS[:4]:
        (texts, rated, identity), (other_texts, other_rated, other_identity) = (
            answer[shard] for answer in answers
        )
        assert [t.text for t in texts] == [t.text for t in other_texts]
        for one, other in zip(rated, other_rated, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-3)
        assert identity == other_identity  # so that a ledger of one is the other's
    children = pids - {os.getpid()}
    assert len(children) == 2
    assert not [pid for pid in children if psutil.pid_exists(pid)]


@pytest.mark.slow
def test_interrupt_while_engines_start_ends_them_within_seconds(
    tiny_model: Path, cache_dir: Path
) -> None:
    settings = tiny_settings("transformers").model_copy(update={"engines": 2})
    me = psutil.Process()
    before = {child.pid for child in me.children()}
    interrupted_s: list[float] = []

    def work(engine: TextGenerator, shard: str, on_progress: OnProgress) -> str:
        # With an engine that was quick to start: until the interrupt has ended them.
        while not interrupted_s or {child.pid for child in me.children()} - before:
            time.sleep(0.02)
        raise RuntimeError("interrupted")

    def interrupt() -> None:
        while len({child.pid for child in me.children()} - before) < 2:
            time.sleep(0.02)
        interrupted_s.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)  # as Dagster interrupts a step

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        list(
            for_each_shard(
                SHARDS,
                lambda slot: open_generator(
                    tiny_model, settings, cache_dir=cache_dir, devices=slot
                ),
                work,
                settings=settings,
            )
        )
    assert time.monotonic() - interrupted_s[0] < 10
    assert {child.pid for child in me.children()} <= before
