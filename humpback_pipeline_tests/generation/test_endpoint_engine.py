"""The endpoint engine against a real HTTP server that speaks the API."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import Reply, Server, candidates, echo, requests_of, settings_for

from humpback_pipeline.generation import (
    EndpointError,
    check_endpoint,
    open_generator,
)
from humpback_pipeline.generation.seeds import request_seed
from humpback_pipeline.recipe import EndpointRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe

SAMPLING = SamplingRecipe(max_new_tokens=8)


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


def test_generate_returns_texts_in_order_under_the_concurrency_limit(server: Server) -> None:
    def slow(path: str, body: dict[str, Any]) -> Reply:
        time.sleep(0.02)
        return 200, echo(body)

    server.reply = slow
    texts = [f"prompt {n}" for n in range(12)]
    with open_generator("tiny", settings_for(server.base_url, max_concurrent_requests=3)) as engine:
        answers = engine.generate(requests_of(*texts), SAMPLING)

    assert [answer.text for answer in answers] == [f"echo {text}" for text in texts]
    assert server.most_at_once == 3
    first = answers[0]
    assert (first.n_prompt_tokens, first.n_tokens, first.mean_logprob) == (7, 2, -1.0)
    first_body = next(b for b in server.bodies if "prompt 0" in str(b["messages"]))
    assert first_body | {"messages": None} == {
        "model": "tiny",
        "messages": None,
        "seed": request_seed(0, "prompt 0"),
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 8,
        "logprobs": True,
    }
    # Or the candidates for one record would all be the same text.
    assert len({body["seed"] for body in server.bodies}) == len(texts)


def test_choose_continues_the_prefix_and_renormalises_on_vllm(server: Server) -> None:
    server.reply = lambda path, body: (200, candidates(**{"4": 0.4, "_4": 0.1, "2": 0.3, "x": 0.2}))
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        answer = engine.choose(requests_of("rate", prefix="Score: "), ("1", "2", "4"))[0]

    assert answer.probabilities == pytest.approx((0.0, 0.375, 0.625))
    assert answer.mass == pytest.approx(0.8)
    body = server.bodies[0]
    assert body["messages"][-1] == {"role": "assistant", "content": "Score: "}
    assert body["continue_final_message"] is True
    assert body["add_generation_prompt"] is False
    assert (body["max_tokens"], body["top_logprobs"]) == (1, 20)


def test_choose_asks_for_a_bare_choice_where_answers_cannot_be_begun(server: Server) -> None:
    server.models = [{"id": "tiny", "owned_by": "someone"}]
    server.reply = lambda path, body: (200, candidates(**{"1": 0.9}))
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        answer = engine.choose(requests_of("rate", prefix="Score: "), ("1", "2"))[0]

    assert answer.probabilities == (1.0, 0.0)
    assert "continue_final_message" not in server.bodies[0]
    (message,) = server.bodies[0]["messages"]
    assert message["content"] == "rate\n\nReply with one of 1, 2 and nothing else."


def test_choose_is_uniform_without_mass_when_no_choice_is_among_the_candidates(
    server: Server,
) -> None:
    server.reply = lambda path, body: (200, candidates(x=0.9))
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        answer = engine.choose(requests_of("rate"), ("1", "2"))[0]

    assert (answer.probabilities, answer.mass) == ((0.5, 0.5), 0.0)


def test_choose_without_logprobs_is_an_error(server: Server) -> None:
    server.reply = lambda path, body: (200, {"choices": [{"message": {"content": "4"}}]})
    with (
        open_generator("tiny", settings_for(server.base_url)) as engine,
        pytest.raises(EndpointError, match="no log-probabilities"),
    ):
        engine.choose(requests_of("rate"), ("1", "2"))


def test_server_that_is_down_is_named_within_seconds() -> None:
    url = "http://127.0.0.1:9/v1"
    start = time.monotonic()
    for ask in (
        lambda: open_generator("tiny", settings_for(url)),
        lambda: check_endpoint(EndpointRecipe(base_url=url)),
    ):
        with pytest.raises(EndpointError, match=r"127\.0\.0\.1:9.*vllm serve"):
            ask()
    assert time.monotonic() - start < 10


def test_model_that_is_not_served_is_an_error_with_the_command(server: Server) -> None:
    with pytest.raises(EndpointError, match=r"it serves tiny.*--served-model-name m1"):
        open_generator("models/m1", settings_for(server.base_url))


def test_page_that_is_no_api_is_an_error(server: Server) -> None:
    server.models = []
    server.reply = lambda path, body: (200, "<html>Welcome</html>")
    server.models = [{"id": "tiny", "owned_by": "vllm"}]
    with (
        open_generator("tiny", settings_for(server.base_url)) as engine,
        pytest.raises(EndpointError, match="OpenAI-compatible"),
    ):
        engine.generate(requests_of("hi"), SAMPLING)


def test_api_key_is_sent_and_never_shown(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("TEST_ENDPOINT_KEY", "sk-very-secret")
    caplog.set_level(logging.DEBUG)
    server.reply = lambda path, body: (401, "wrong key")
    settings = settings_for(server.base_url, api_key_variable="TEST_ENDPOINT_KEY")
    with (
        open_generator("tiny", settings) as engine,
        pytest.raises(EndpointError, match="TEST_ENDPOINT_KEY") as caught,
    ):
        engine.generate(requests_of("hi"), SAMPLING)

    assert server.keys == {"Bearer sk-very-secret"}
    assert "sk-very-secret" not in str(caught.value) + caplog.text + repr(vars(engine))


def test_missing_api_key_is_an_error_that_names_the_variable(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TEST_ENDPOINT_KEY", raising=False)
    with pytest.raises(EndpointError, match="TEST_ENDPOINT_KEY, which is not set"):
        check_endpoint(
            EndpointRecipe(base_url=server.base_url, api_key_variable="TEST_ENDPOINT_KEY")
        )


def test_adapter_is_loaded_into_a_vllm_server_and_taken_out_again(
    server: Server, tiny_adapter: Path, cache_dir: Path
) -> None:
    def reply(path: str, body: dict[str, Any]) -> Reply:
        return (200, "Success") if "lora" in path else (200, echo(body))

    server.reply = reply
    settings = settings_for(server.base_url)
    with open_generator(tiny_adapter, settings, cache_dir=cache_dir) as engine:
        engine.generate(requests_of("hi"), SAMPLING)

    assert server.paths == [
        "/v1/load_lora_adapter",
        "/v1/chat/completions",
        "/v1/unload_lora_adapter",
    ]
    assert server.bodies[0]["lora_path"] == str(tiny_adapter)
    assert server.bodies[1]["model"] == server.bodies[0]["lora_name"]


@pytest.mark.parametrize("status", [503, 404])
def test_server_that_fails_at_the_end_hides_no_error_and_is_not_waited_for(
    status: int, server: Server, tiny_adapter: Path, cache_dir: Path, caplog: Any
) -> None:
    server.reply = lambda path, body: (status, "dying") if "unload" in path else (200, "Success")
    settings = settings_for(server.base_url)
    engine = open_generator(tiny_adapter, settings, cache_dir=cache_dir)
    with pytest.raises(KeyError, match="the real one"), engine:
        raise KeyError("the real one")

    assert server.paths == ["/v1/load_lora_adapter", "/v1/unload_lora_adapter"]
    assert "may still be loaded" in caplog.text
    assert engine._client._http.is_closed  # type: ignore[attr-defined]
