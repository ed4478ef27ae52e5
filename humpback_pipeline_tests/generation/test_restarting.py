"""Engines that die: opened anew with a smaller batch, and nothing answered is asked again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tiny_settings import tiny_settings

from humpback_pipeline.generation import (
    EngineSlot,
    GenerationError,
    GenerationRequest,
    restarting,
)
from humpback_pipeline.generation.engine import ClosesOnExit, EngineDiedError, Generation
from humpback_pipeline.generation.restarting import RestartingGenerator
from humpback_pipeline.generation.streaming import Feed, Stream, Task, WindowFeed
from humpback_pipeline.generation.transformers_process import TransformersProcess
from humpback_pipeline.recipe import GenerationRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe

SAMPLING = SamplingRecipe(max_new_tokens=8)


def requests_of(n: int) -> list[GenerationRequest]:
    return [
        GenerationRequest(f"r{i}", [{"role": "user", "content": f"Say {i} " + "so " * i}])
        for i in range(n)
    ]


def requests_of_equal_length(n: int) -> list[GenerationRequest]:
    return [GenerationRequest(f"r{i}", [{"role": "user", "content": "Hi"}]) for i in range(n)]


class Mortal(ClosesOnExit):
    """Answers `life` requests, one at a time, then dies of `error`; notes all it was asked."""

    name, model_hash, pid, n_truncated = "mortal", "hash", 1, 0

    def __init__(self, life: int, error: Exception, asked: list[str]) -> None:
        self._life, self._error, self._asked = life, error, asked
        self.identity: dict[str, str | int] = {"engine": "mortal"}

    def stream(self, task: Task, feed: Feed[GenerationRequest]) -> Stream:
        while taken := feed.take(4, idle=True):
            for i, request in taken:
                if self._life == 0:
                    raise self._error
                self._life -= 1
                self._asked.append(request.request_id)
                yield [(i, Generation(request.request_id, "x", "stop", 1, 1, None))]


class Opener:
    """Opens a `Mortal` for each life given, and notes with what settings."""

    def __init__(self, lives: Sequence[int | Exception], error: Exception) -> None:
        self._lives, self._error = iter(lives), error
        self.asked: list[str] = []
        self.batches: list[tuple[int, float, float]] = []

    def __call__(self, settings: GenerationRecipe, batch_fraction: float) -> Any:
        vllm = settings.vllm
        self.batches.append(
            (vllm.max_concurrent_sequences, vllm.gpu_memory_fraction, batch_fraction)
        )
        life = next(self._lives)
        if isinstance(life, Exception):
            raise life
        return Mortal(life, self._error, self.asked)


@pytest.mark.parametrize(
    "error",
    [EngineDiedError("killed"), MemoryError(), RuntimeError("CUDA out of memory. Tried to …")],
)
def test_unanswered_requests_go_to_an_engine_with_half_the_batch(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    opener = Opener([3, 0, 5, 100], error)
    engine = RestartingGenerator(opener, GenerationRecipe())

    answers = engine.generate(requests_of(12), SAMPLING)

    assert [answer.request_id for answer in answers] == [f"r{i}" for i in range(12)]
    assert sorted(opener.asked) == sorted(f"r{i}" for i in range(12))
    assert [(n, fraction) for n, _, fraction in opener.batches] == [
        (256, 1.0),
        (128, 0.5),
        (64, 0.25),
        (32, 0.125),
    ]
    assert "max_concurrent_sequences 256 → 128" in caplog.text
    assert "3 of 3" in caplog.text


def test_engine_that_always_dies_ends_with_what_to_change() -> None:
    opener = Opener([1, 1, 1, 1, 1], EngineDiedError("exit status -9"))
    engine = RestartingGenerator(opener, GenerationRecipe())

    with pytest.raises(GenerationError, match=r"(?s)died 4 times.*exit status -9.*Lower gen") as e:
        engine.generate(requests_of(9), SAMPLING)

    assert not isinstance(e.value, EngineDiedError)
    assert len(opener.batches) == 4


def test_deaths_that_are_far_apart_do_not_add_up() -> None:
    lives = [restarting.SOUND_AFTER_ANSWERS] * 6
    opener = Opener([*lives, 100], EngineDiedError("out of memory"))
    engine = RestartingGenerator(opener, GenerationRecipe())
    n = sum(lives) + 50

    assert len(engine.generate(requests_of_equal_length(n), SAMPLING)) == n
    # It is not made ever smaller.
    assert [fraction for _, _, fraction in opener.batches] == [1, 0.5, 0.25, *[0.125] * 4]


def test_deaths_that_are_close_add_up_after_a_sound_time_too() -> None:
    lives = [restarting.SOUND_AFTER_ANSWERS, restarting.SOUND_AFTER_ANSWERS, 1, 1, 1]
    opener = Opener(lives, EngineDiedError("out of memory"))
    engine = RestartingGenerator(opener, GenerationRecipe())
    with pytest.raises(GenerationError, match="died 4 times"):
        engine.generate(requests_of_equal_length(sum(lives) + 5), SAMPLING)
    assert len(opener.batches) == len(lives)


def test_start_that_lacks_gpu_memory_claims_less_of_it() -> None:
    lacking = EngineDiedError(
        "Free memory on device cuda:0 (9/80 GiB) is less than desired GPU memory utilization"
    )
    opener = Opener([lacking, lacking, 9], lacking)

    RestartingGenerator(opener, GenerationRecipe())

    assert [fraction for _, fraction, _ in opener.batches] == [0.9, 0.81, 0.729]


def test_wrong_configuration_is_not_tried_twice() -> None:
    opener = Opener([GenerationError("no such model")], ValueError("bad prompt"))
    with pytest.raises(GenerationError, match="no such model"):
        RestartingGenerator(opener, GenerationRecipe())
    opener = Opener([2], ValueError("bad prompt"))
    with pytest.raises(ValueError, match="bad prompt"):
        RestartingGenerator(opener, GenerationRecipe()).generate(requests_of(3), SAMPLING)
    assert len(opener.batches) == 1


def test_engine_nobody_wants_any_more_is_not_restarted() -> None:
    opener = Opener([1, 1], EngineDiedError("its slot has ended"))
    engine = RestartingGenerator(opener, GenerationRecipe(), given_up=lambda: True)
    with pytest.raises(EngineDiedError, match="its slot"):
        engine.generate(requests_of(3), SAMPLING)
    assert len(opener.batches) == 1


@pytest.fixture(scope="module")
def real(tiny_model: Path, cache_dir: Path) -> Iterator[RestartingGenerator]:
    """A transformers engine in a child process that may be killed."""

    def open_engine(settings: GenerationRecipe, batch_fraction: float) -> Any:
        return TransformersProcess(
            tiny_model,
            settings,
            cache_dir=cache_dir,
            devices=EngineSlot(),
            batch_fraction=batch_fraction,
        )

    settings = tiny_settings("transformers", max_concurrent_sequences=8)
    with RestartingGenerator(open_engine, settings) as opened:
        yield opened


@pytest.mark.slow
def test_killed_child_is_replaced_until_it_has_died_too_often(
    real: RestartingGenerator, caplog: pytest.LogCaptureFixture
) -> None:
    feed = WindowFeed(requests_of(40), 16)
    killed: list[int] = []
    answered: list[tuple[int, str]] = []

    for finished in real.stream(Task("generate", (SAMPLING,)), feed):
        answered += [(i, answer.request_id) for i, answer in finished]
        feed.saved(len(finished))
        if len(killed) < 2 and len(answered) >= 10 * (len(killed) + 1) and real.pid not in killed:
            killed.append(real.pid)
            os.kill(real.pid, signal.SIGKILL)

    assert sorted(answered) == [(i, f"r{i}") for i in range(40)]
    assert caplog.text.count("exit status -9") == len(killed) == 2
    os.kill(real.pid, signal.SIGKILL)
    assert len(real.choose(requests_of(3), ("1", "2"))) == 3  # the third restart is the last
    os.kill(real.pid, signal.SIGKILL)
    with pytest.raises(GenerationError, match="died 4 times"):
        real.choose(requests_of(3), ("1", "2"))
