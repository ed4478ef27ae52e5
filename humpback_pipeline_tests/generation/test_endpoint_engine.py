"""The endpoint engine against a real HTTP server that speaks the API."""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from humpback_pipeline.generation import (
    EndpointError,
    GenerationRequest,
    Ledger,
    check_endpoint,
    generate_all,
    notebook_settings,
    open_generator,
)
from humpback_pipeline.recipe import EndpointRecipe, GenerationRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe

Reply = tuple[int, dict[str, Any] | str]
SAMPLING = SamplingRecipe(max_new_tokens=8)


class Server:
    """Serves `models`; answers POSTs with `reply(path, body)`; remembers what it was sent."""

    def __init__(self) -> None:
        self.models: list[dict[str, str]] = [{"id": "tiny", "owned_by": "vllm"}]
        self.reply: Callable[[str, dict[str, Any]], Reply] = lambda path, body: (200, echo(body))
        self.bodies: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.keys: set[str | None] = set()
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"state": self})
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.base_url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def answer(self, path: str, body: dict[str, Any]) -> Reply:
        with self._lock:
            self.bodies.append(body)
            self.paths.append(path)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self.reply(path, body)
        finally:
            with self._lock:
                self._at_once -= 1

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()


class _Handler(BaseHTTPRequestHandler):
    state: Server

    def do_GET(self) -> None:
        self.state.keys.add(self.headers.get("Authorization"))
        self._send(200, {"data": self.state.models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self._send(*self.state.answer(self.path, body))

    def _send(self, status: int, value: dict[str, Any] | str) -> None:
        content = (value if isinstance(value, str) else json.dumps(value)).encode()
        self.send_response(status)
        if status == 429:
            self.send_header("Retry-After", "0")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


def echo(body: dict[str, Any]) -> dict[str, Any]:
    tokens = [{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.5}]
    message = {"role": "assistant", "content": f"echo {body['messages'][-1]['content']}"}
    return {
        "choices": [{"message": message, "finish_reason": "stop", "logprobs": {"content": tokens}}],
        "usage": {"prompt_tokens": 7, "completion_tokens": 2},
    }


def candidates(**probabilities: float) -> dict[str, Any]:
    top = [{"token": t.replace("_", " "), "logprob": math.log(p)} for t, p in probabilities.items()]
    token = {**top[0], "top_logprobs": top}
    return {"choices": [{"message": {"content": "x"}, "logprobs": {"content": [token]}}]}


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


def settings_for(base_url: str, **fields: Any) -> GenerationRecipe:
    endpoint = EndpointRecipe(base_url=base_url, **fields)
    return notebook_settings().model_copy(update={"engine": "endpoint", "endpoint": endpoint})


def requests_of(*texts: str, prefix: str = "") -> list[GenerationRequest]:
    return [GenerationRequest(text, [{"role": "user", "content": text}], prefix) for text in texts]


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
    assert server.bodies[0] | {"messages": None} == {
        "model": "tiny",
        "messages": None,
        "seed": 0,
        "temperature": 0.7,
        "top_p": 0.9,
        "max_tokens": 8,
        "logprobs": True,
    }


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
    server.reply = refusing("prompt")
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
    for _ in range(2):
        with open_generator("tiny", settings_for(server.base_url)) as engine:
            answers = generate_all(requests, engine, SAMPLING, ledger=ledger, chunk_size=16)
        assert [a.request_id for a in answers if a.finish_reason == "refused"] == [
            "prompt 7",
            *(f"prompt {n}" for n in range(70, 80)),
        ]
    assert len(server.bodies) < 80 + 200  # the second time all were known, the refused ones too


def test_few_rows_that_are_all_refused_are_recorded_even_in_small_chunks(
    server: Server, tmp_path: Path
) -> None:
    server.reply = refusing("prompt")
    requests = requests_of(*(f"prompt {n}" for n in range(10)))
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        answers = generate_all(
            requests, engine, SAMPLING, ledger=Ledger(tmp_path / "ledger.jsonl"), chunk_size=4
        )
    assert [answer.finish_reason for answer in answers] == ["refused"] * 10


def test_answers_that_came_before_a_failure_are_saved(server: Server, tmp_path: Path) -> None:
    def reply(path: str, body: dict[str, Any]) -> Reply:
        if body["messages"][0]["content"] == "p 30":
            return 500, "crashed"
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
    n_saved = len(ledger.read())
    assert n_saved >= 28
    server.reply = lambda path, body: (200, echo(body))
    n_before = len(server.bodies)
    with open_generator("tiny", settings) as engine:
        answers = generate_all(requests, engine, SAMPLING, ledger=ledger)
    assert [answer.text for answer in answers] == [f"echo p {n:02}" for n in range(40)]
    assert len(server.bodies) - n_before == 40 - n_saved


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
