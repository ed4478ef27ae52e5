"""An engine that starts with the first question: what it is called before, and after it closed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tiny_models import WINDOW_TOKENS
from tiny_settings import tiny_settings

from humpback_pipeline.generation import (
    GenerationRequest,
    LazyGenerator,
    Ledger,
    LikelihoodRequest,
    TextGenerator,
    choose_all,
    generate_all,
    lazy,
    likelihoods_all,
    open_generator,
)
from humpback_pipeline.generation.streaming import ListFeed, StreamingEngine, Task, WindowFeed
from humpback_pipeline.recipe_curation import SamplingRecipe

GREEDY = SamplingRecipe(temperature=0.0, max_new_tokens=6)
DIGITS = ("1", "2", "3")
Open = Callable[..., LazyGenerator]


def request(name: str, text: str = "Why tides?") -> GenerationRequest:
    return GenerationRequest(name, [{"role": "user", "content": text}])


def reading(name: str) -> LikelihoodRequest:
    return LikelihoodRequest(name, request(name).messages, "The moon.")


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The folders of the engines that have been started."""
    started: list[Path] = []

    def noting(folder: Path, *rest: Any, **named: Any) -> TextGenerator:
        started.append(folder)
        return open_generator(folder, *rest, **named)

    monkeypatch.setattr(lazy, "open_generator", noting)
    return started


@pytest.fixture
def open_lazily(tiny_model: Path, cache_dir: Path, starts: list[Path]) -> Open:
    def opened(folder: Path = tiny_model, **vllm: Any) -> LazyGenerator:
        settings = tiny_settings("transformers", **vllm)
        return LazyGenerator(folder, settings, cache_dir=cache_dir)

    return opened


def test_no_engine_starts_when_the_ledger_has_every_answer(
    open_lazily: Open, generator: TextGenerator, starts: list[Path], tmp_path: Path
) -> None:
    """Answered by an engine that was open, found again by one that has not been."""
    requests, readings = [request("a"), request("b", "Why?")], [reading("a"), reading("b")]
    ledger = Ledger(tmp_path / "ledger.jsonl")

    def ask(engine: TextGenerator) -> list[list[Any]]:
        return [
            generate_all(requests, engine, GREEDY, ledger=ledger.part("texts")),
            choose_all(requests, engine, DIGITS, ledger=ledger.part("choices")),
            likelihoods_all(readings, engine, ledger=ledger.part("readings")),
        ]

    answers = ask(generator)
    with open_lazily() as engine:
        assert ask(engine) == answers
        assert starts == []
        # One that is missing starts it, and is the only one that is asked.
        requests.append(request("c"))
        texts, *_ = ask(engine)
    assert texts[:2] == answers[0]
    assert len(starts) == 1


@pytest.mark.parametrize("kind", ["model", "adapter"])
@pytest.mark.parametrize("window", [1_000, WINDOW_TOKENS, 2 * WINDOW_TOKENS])
def test_identity_before_the_start_is_the_engines_own(
    kind: str,
    window: int,
    open_lazily: Open,
    starts: list[Path],
    tiny_model: Path,
    tiny_adapter: Path,
    cache_dir: Path,
) -> None:
    folder = tiny_adapter if kind == "adapter" else tiny_model
    unopened = open_lazily(folder, max_model_tokens=window)
    settings = tiny_settings("transformers", max_model_tokens=window)

    with open_generator(folder, settings, cache_dir=cache_dir) as engine:
        assert unopened.identity == engine.identity
        assert unopened.model_hash == engine.model_hash
        assert unopened.name == engine.name
    # The model's own window bounds the recipe's.
    assert unopened.identity["max_model_tokens"] == min(window, WINDOW_TOKENS)
    assert starts == []
    with unopened:
        unopened.choose([request("a")], DIGITS)
    assert starts == [folder]


def test_identities_of_adapter_base_seed_and_window_differ(
    open_lazily: Open, tiny_model: Path, tiny_adapter: Path, cache_dir: Path
) -> None:
    seeded = tiny_settings("transformers").model_copy(update={"seed": 5})
    identities = [
        open_lazily(tiny_model).identity,
        open_lazily(tiny_adapter).identity,
        open_lazily(tiny_model, max_model_tokens=500).identity,
        LazyGenerator(tiny_model, seeded, cache_dir=cache_dir).identity,
    ]
    assert len({str(identity) for identity in identities}) == 4


def test_engine_starts_once_and_again_after_it_was_closed(
    open_lazily: Open, starts: list[Path]
) -> None:
    engine = open_lazily()
    engine.close()  # has nothing to close
    assert starts == []
    first = engine.choose([request("a")], DIGITS)
    assert engine.likelihoods([reading("a")])
    assert len(starts) == 1

    with engine:
        pass
    again = engine.choose([request("a")], DIGITS)
    engine.close()

    assert again == first
    assert len(starts) == 2


def test_cut_prompts_are_counted_over_all_its_engines(open_lazily: Open) -> None:
    long = request("long", "tide " * 100)
    with open_lazily(max_model_tokens=128) as engine:
        assert engine.n_truncated == 0
        assert engine.choose([long], DIGITS)[0].prompt_cut
        assert engine.n_truncated == 1
        engine.close()
        assert engine.n_truncated == 1
        engine.choose([long, replace(long, request_id="too"), request("short")], DIGITS)
        assert engine.n_truncated == 3
    assert engine.n_truncated == 3


def test_streams_as_the_engine_does_and_starts_with_the_stream(
    open_lazily: Open, generator: TextGenerator, starts: list[Path]
) -> None:
    requests = [request(str(n), f"{n} " * (n + 1)) for n in range(5)]
    engine = open_lazily(max_concurrent_sequences=1)
    assert isinstance(engine, StreamingEngine)
    with engine:
        feed = WindowFeed(requests, 2)
        answers: dict[int, Any] = {}
        for finished in engine.stream(Task("choose", (DIGITS,)), feed):
            assert len(finished) == 1
            answers.update(finished)
            assert feed.n_unsaved <= 2
            feed.saved(1)
        whole = dict(
            pair
            for done in engine.stream(Task("likelihoods"), ListFeed([reading("a")]))
            for pair in done
        )
    assert len(starts) == 1
    expected = generator.choose(requests, DIGITS)
    for i, answer in enumerate(expected):
        assert answers[i].request_id == str(i)
        assert answers[i].probabilities == pytest.approx(answer.probabilities, abs=0.02)
    assert whole[0] == generator.likelihoods([reading("a")])[0]


def test_engine_that_cannot_start_says_so_at_the_first_question(
    open_lazily: Open, tiny_model: Path, starts: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any, **__: Any) -> TextGenerator:
        raise OSError("no such device")

    engine = open_lazily()
    with monkeypatch.context() as patched:
        patched.setattr(lazy, "open_generator", fails)
        with engine, pytest.raises(OSError, match="no such device"):
            engine.choose([request("a")], DIGITS)
    # Nothing of the failed start is left.
    with engine:
        assert engine.choose([request("a")], DIGITS)[0].mass > 0
    assert starts == [tiny_model]
