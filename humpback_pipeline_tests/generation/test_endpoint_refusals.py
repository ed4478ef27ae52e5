"""Requests that a server refuses: rows of their own, or a wrong configuration that is not kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import Reply, Server, candidates, echo, requests_of, settings_for

from humpback_pipeline.generation import (
    EndpointError,
    Generation,
    GenerationRequest,
    Ledger,
    choose_all,
    generate_all,
    open_generator,
)
from humpback_pipeline.recipe_curation import SamplingRecipe

SAMPLING = SamplingRecipe(max_new_tokens=8)


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger.jsonl")


def prompts(n: int, word: str = "prompt") -> list[GenerationRequest]:
    return requests_of(*(f"{word} {i:02}" for i in range(n)))


def failing(status: int, *words: str) -> Callable[[str, dict[str, Any]], Reply]:
    """Answers all prompts without any of these words."""

    def reply(path: str, body: dict[str, Any]) -> Reply:
        if any(word in body["messages"][0]["content"] for word in words):
            return status, "will not do"
        return 200, echo(body)

    return reply


def run(
    server: Server, requests: list[GenerationRequest], ledger: Ledger, chunk_size: int = 64
) -> list[Generation]:
    """A run of its own, with an engine of its own."""
    with open_generator("tiny", settings_for(server.base_url, max_retries=1)) as engine:
        return generate_all(requests, engine, SAMPLING, ledger=ledger, chunk_size=chunk_size)


def asked_by(server: Server, n_before: int) -> list[str]:
    return sorted(body["messages"][0]["content"] for body in server.bodies[n_before:])


def test_method_that_is_always_refused_ends_the_run_though_another_is_answered(
    server: Server, ledger: Ledger
) -> None:
    def reply(path: str, body: dict[str, Any]) -> Reply:
        if "top_logprobs" in body:
            return 400, "top_logprobs must be <= 5"
        return 200, echo(body)

    server.reply = reply
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        assert engine.generate(requests_of("hi"), SAMPLING)[0].error is None
        with pytest.raises(EndpointError, match="top_logprobs must be"):
            choose_all(prompts(40), engine, ("1", "2"), ledger=ledger)
    assert ledger.read() == {}


@pytest.mark.parametrize("n", [1, 19])
def test_few_rows_that_are_all_refused_are_an_error_and_not_remembered(
    n: int, server: Server, ledger: Ledger
) -> None:
    server.reply = failing(400, "")
    with pytest.raises(EndpointError, match=rf"the first {n} requests.*will not do"):
        run(server, prompts(n), ledger)
    with (
        open_generator("tiny", settings_for(server.base_url)) as engine,
        pytest.raises(EndpointError, match="will not do"),
    ):
        engine.generate(prompts(n), SAMPLING)
    assert ledger.read() == {}


@pytest.mark.parametrize("n", [1, 2, 50])
def test_rows_may_all_be_bad_where_the_smallest_request_is_answered(
    n: int, server: Server, ledger: Ledger
) -> None:
    server.reply = failing(400, "prompt")
    answers = run(server, prompts(n), ledger)
    assert [answer.finish_reason for answer in answers] == ["refused"] * n
    assert len(ledger.read()) == n


def test_rows_all_refused_in_small_chunks_are_an_error_in_every_run(
    server: Server, ledger: Ledger
) -> None:
    """What a small window lets go is on disk, and yet no run takes it for an answer."""
    server.reply = failing(400, "")
    for _ in range(3):
        with pytest.raises(EndpointError, match="answered none"):
            run(server, prompts(10), ledger, chunk_size=4)
    server.reply = failing(400)
    assert all(answer.error is None for answer in run(server, prompts(10), ledger))


def test_refused_rows_are_asked_again_by_the_next_run_and_only_they(
    server: Server, ledger: Ledger
) -> None:
    requests = [*prompts(30), *prompts(5, "huge")]
    server.reply = failing(400, "huge")
    first = run(server, requests, ledger)
    assert sum(answer.error is not None for answer in first) == 5
    assert len(server.bodies) == 35  # each once

    server.reply = failing(400, "huge 03", "huge 04")
    second = run(server, requests, ledger)
    assert asked_by(server, 35) == [f"huge {i:02}" for i in range(5)]
    assert [a.request_id for a in second if a.error] == ["huge 03", "huge 04"]
    assert second[:30] == first[:30]

    server.reply = failing(400)
    healed = run(server, requests, ledger)
    assert asked_by(server, 40) == ["huge 03", "huge 04"]
    assert not any(answer.error for answer in healed)
    assert run(server, requests, ledger) == healed
    assert len(server.bodies) == 42


@pytest.mark.parametrize("n", [5, 30])
def test_rows_that_stay_refused_do_not_end_a_run_whose_others_are_answered(
    n: int, server: Server, ledger: Ledger
) -> None:
    requests = [*prompts(40, "the longer prompt"), *prompts(n, "bad")]
    server.reply = failing(400, "bad")
    first = run(server, requests, ledger)
    assert sum(answer.error is not None for answer in first) == n
    assert [a.error is None for a in run(server, requests, ledger)] == [True] * 40 + [False] * n


def test_new_bad_rows_beside_known_answers_are_rows_of_their_own(
    server: Server, ledger: Ledger
) -> None:
    server.reply = failing(400, "bad")
    run(server, prompts(5), ledger)
    answers = run(server, [*prompts(5), *prompts(4, "bad")], ledger)
    assert [answer.error is None for answer in answers] == [True] * 5 + [False] * 4


def test_server_with_another_window_is_asked_everything_again(
    server: Server, ledger: Ledger
) -> None:
    server.models = [
        {"id": "other", "owned_by": "vllm", "max_model_len": 99},
        {"id": "tiny", "owned_by": "vllm", "max_model_len": 512},
    ]
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        small = engine.identity
    assert small["max_model_tokens"] == 512
    assert small["seeding"] == "by request"
    run(server, prompts(3), ledger)
    server.models[1]["max_model_len"] = 1_024
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        assert engine.identity == {**small, "max_model_tokens": 1_024}
    run(server, prompts(3), ledger)
    assert len(server.bodies) == 6


def test_window_that_is_not_told_is_zero(server: Server) -> None:
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        assert engine.identity["max_model_tokens"] == 0


def test_request_that_the_server_fails_at_is_its_own_row_and_heals(
    server: Server, ledger: Ledger
) -> None:
    """Asked last and alone, so that only another try with an answered one shows whose fault."""
    requests = [*prompts(6, "the longer prompt"), *requests_of("poison")]
    server.reply = failing(500, "poison")
    first = run(server, requests, ledger)
    assert [answer.error is None for answer in first] == [True] * 6 + [False]
    assert "HTTP 500: will not do" in (first[-1].error or "")
    # Nothing else is asked now, so nothing tells a poor row from a poor server: it stays.
    assert run(server, requests, ledger) == first
    server.reply = failing(500)
    assert run(server, requests, ledger)[-1].text == "echo poison"


def test_server_that_fails_at_too_many_is_the_one_that_fails(
    server: Server, ledger: Ledger
) -> None:
    server.reply = failing(503, "bad")
    requests = [*prompts(30, "the longer prompt"), *prompts(40, "bad")]
    with pytest.raises(EndpointError, match="HTTP 503"):
        run(server, requests, ledger)
    assert sum(answer["error"] is not None for answer in ledger.read().values()) <= 20


@pytest.mark.parametrize("status", [500, 507, 520, 529])
def test_every_status_of_a_failing_server_is_tried_again(status: int, server: Server) -> None:
    replies: Iterator[Reply] = iter([(status, "not now")])
    server.reply = lambda path, body: next(replies, (200, echo(body)))
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        assert engine.generate(requests_of("hi"), SAMPLING)[0].text == "echo hi"
    assert len(server.bodies) == 2


def test_choices_after_a_rationale_see_it_where_answers_cannot_be_begun(server: Server) -> None:
    server.models = [{"id": "tiny", "owned_by": "someone"}]
    server.reply = lambda path, body: (200, candidates(**{"1": 0.9}))
    prefix = "It is short.\nIt says nothing.\nScore: "
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        engine.choose(requests_of("rate", prefix=prefix), ("1", "2"))
        engine.choose(requests_of("rate", prefix="\nScore: "), ("1", "2"))
    assert server.bodies[0]["messages"] == [
        {"role": "user", "content": "rate"},
        {"role": "assistant", "content": "It is short.\nIt says nothing."},
        {"role": "user", "content": "Reply with one of 1, 2 and nothing else."},
    ]
    assert [message["role"] for message in server.bodies[1]["messages"]] == ["user"]
