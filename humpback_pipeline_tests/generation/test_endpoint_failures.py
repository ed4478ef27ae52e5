"""What the endpoint engine does when the server fails, or calls a request bad."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import Reply, Server, candidates, echo, requests_of, settings_for

from humpback_pipeline.generation import EndpointError, Ledger, generate_all, open_generator
from humpback_pipeline.recipe_curation import SamplingRecipe

SAMPLING = SamplingRecipe(max_new_tokens=8)


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


def test_passing_failures_are_tried_again(server: Server) -> None:
    replies: Iterator[Reply] = iter([(429, "slow down"), (503, "loading")])

    server.reply = lambda path, body: next(replies, (200, echo(body)))
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        assert engine.generate(requests_of("hi"), SAMPLING)[0].text == "echo hi"
    assert len(server.bodies) == 3


def test_lasting_failure_ends_with_the_servers_words(server: Server) -> None:
    server.reply = lambda path, body: (500, "out of memory")
    with (
        open_generator("tiny", settings_for(server.base_url, max_retries=1)) as engine,
        pytest.raises(EndpointError, match="HTTP 500: out of memory"),
    ):
        engine.generate(requests_of("hi"), SAMPLING)
    assert len(server.bodies) == 2


def refusing(*bad: str) -> Callable[[str, dict[str, Any]], Reply]:
    """Calls prompts with any of these words bad requests."""

    def reply(path: str, body: dict[str, Any]) -> Reply:
        prompt = body["messages"][0]["content"]
        if any(word in prompt for word in bad):
            return 400, f"prompt too long: {prompt}"
        return 200, echo(body) if "top_logprobs" not in body else candidates(**{"1": 0.9})

    return reply


def test_bad_request_is_recorded_and_does_not_stop_the_rest(server: Server) -> None:
    server.reply = refusing("huge")
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        answers = engine.generate(requests_of("hi", "huge", "ho"), SAMPLING)
        chosen = engine.choose(requests_of("huge", "hi"), ("1", "2"))

    assert [answer.text for answer in answers] == ["echo hi", "", "echo ho"]
    assert [answer.finish_reason for answer in answers] == ["stop", "refused", "stop"]
    assert "HTTP 400: prompt too long: huge" in (answers[1].error or "")
    assert (chosen[0].probabilities, chosen[0].mass) == ((0.5, 0.5), 0.0)
    assert "prompt too long" in (chosen[0].error or "")
    assert chosen[1].error is None
    assert len(server.bodies) == 5  # none was tried again


@pytest.mark.parametrize("status", [404, 401])
def test_refusal_of_all_requests_stops_at_the_first(server: Server, status: int) -> None:
    server.reply = lambda path, body: (status, "no such model")
    with (
        open_generator("tiny", settings_for(server.base_url)) as engine,
        pytest.raises(EndpointError) as caught,
    ):
        engine.generate(requests_of("hi"), SAMPLING)
    assert caught.value.status == status


def test_server_that_calls_all_bad_is_an_error_and_none_is_remembered(
    server: Server, tmp_path: Path
) -> None:
    server.reply = refusing("")
    ledger = Ledger(tmp_path / "ledger.jsonl")
    requests = requests_of(*(f"prompt {n}" for n in range(200)))
    with (
        open_generator("tiny", settings_for(server.base_url)) as engine,
        pytest.raises(EndpointError, match=r"(?s)first 2\d requests.*too long: prompt"),
    ):
        generate_all(requests, engine, SAMPLING, ledger=ledger)
    assert len(server.bodies) < 80
    assert ledger.read() == {}

    server.reply = refusing("prompt 7")
    n_asked = []
    for _ in range(2):
        with open_generator("tiny", settings_for(server.base_url)) as engine:
            answers = generate_all(requests, engine, SAMPLING, ledger=ledger, chunk_size=16)
        assert [a.request_id for a in answers if a.finish_reason == "refused"] == [
            "prompt 7",
            *(f"prompt {n}" for n in range(70, 80)),
        ]
        n_asked.append(len(server.bodies))
    assert n_asked[1] - n_asked[0] == 11  # the second time only the refused ones


def test_answers_that_came_before_a_failure_are_saved(server: Server, tmp_path: Path) -> None:
    def reply(path: str, body: dict[str, Any]) -> Reply:
        if body["messages"][0]["content"] == "p 30":
            return 404, "crashed"
        return 200, echo(body)

    server.reply = reply
    ledger = Ledger(tmp_path / "ledger.jsonl")
    requests = requests_of(*(f"p {n:02}" for n in range(40)))
    settings = settings_for(server.base_url, max_retries=0, max_concurrent_requests=2)
    with (
        open_generator("tiny", settings) as engine,
        pytest.raises(EndpointError, match="crashed"),
    ):
        generate_all(requests, engine, SAMPLING, ledger=ledger)
    saved = {answer["text"] for answer in ledger.read().values()}
    assert len(saved) >= 28
    server.reply = lambda path, body: (200, echo(body))
    n_before = len(server.bodies)
    with open_generator("tiny", settings) as engine:
        answers = generate_all(requests, engine, SAMPLING, ledger=ledger)
    assert [answer.text for answer in answers] == [f"echo p {n:02}" for n in range(40)]
    asked = {echo(body)["choices"][0]["message"]["content"] for body in server.bodies[n_before:]}
    assert asked
    assert not asked & saved
