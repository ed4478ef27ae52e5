"""Judges that tell what they cost: a local engine with its tokenizer, and a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import Reply, Server, candidates, requests_of, settings_for
from tiny_models import WINDOW_TOKENS

from humpback_pipeline.generation import EndpointError, GenerationRequest, TextGenerator
from humpback_pipeline.generation.judging import (
    JudgeEndpoint,
    LocalJudge,
    MeteredGenerator,
    TokenUsage,
)

CHOICES = ("1", "2")


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


def test_local_judge_counts_the_tokens_that_its_engine_read(
    generator: TextGenerator, tiny_model: Path
) -> None:
    judge = LocalJudge(generator, tiny_model)
    short = GenerationRequest("a", [{"role": "user", "content": "Which?"}], "Better answer: ")
    text = "x" * (2 * WINDOW_TOKENS)
    long = GenerationRequest("b", [{"role": "user", "content": text}], "Better answer: ", (text,))

    assert judge.choose([short], CHOICES) == generator.choose([short], CHOICES)
    assert judge.identity == generator.identity
    assert isinstance(judge, MeteredGenerator)
    # Every byte is a token, and so is each of the template's three marks.
    written = "<|im_start|>user\nWhich?<|im_end|>\n<|im_start|>assistant\nBetter answer: "
    marks = written.count("<|")
    n_tokens = len(written) - marks * len("<|im_start|>") + written.count("<|im_end|>") * 2 + marks
    assert judge.usage(short, CHOICES) == TokenUsage(n_tokens, 0)
    # One that does not fit counts as it was cut, with room for the one token chosen.
    assert judge.usage(long, CHOICES) == TokenUsage(WINDOW_TOKENS - 1, 0)


def test_server_tells_what_each_verdict_cost_once(server: Server) -> None:
    def reply(path: str, body: dict[str, Any]) -> Reply:
        n = len(body["messages"][0]["content"])
        usage = {"prompt_tokens": n, "completion_tokens": 1}
        return 200, {**candidates(**{"1": 0.8, "2": 0.2}), "usage": usage}

    server.reply = reply
    asked = requests_of("aa", "bbbb")
    with JudgeEndpoint("tiny", settings_for(server.base_url)) as judge:
        answers = judge.choose(asked, CHOICES)
        assert [answer.probabilities[0] for answer in answers] == pytest.approx([0.8, 0.8])
        assert [judge.usage(request, CHOICES) for request in asked] == [
            TokenUsage(2, 1),
            TokenUsage(4, 1),
        ]
        assert judge.usage(asked[0], CHOICES) is None
        server.reply = lambda path, body: (200, candidates(**{"1": 0.8}))
        judge.choose(asked[:1], CHOICES)
        assert judge.usage(asked[0], CHOICES) is None  # this server does not say


@pytest.mark.parametrize(
    ("content", "probabilities", "mass"),
    [
        ('{"choice": "2"}', (0.0, 1.0), 1.0),
        (' {"choice": 1} ', (1.0, 0.0), 1.0),
        ("2\n", (0.0, 1.0), 1.0),
        ("Answer 2 is better.", (0.5, 0.5), 0.0),
        ('{"choice": "3"}', (0.5, 0.5), 0.0),
        ("", (0.5, 0.5), 0.0),
    ],
)
def test_choice_in_json_is_all_or_nothing(
    server: Server, content: str, probabilities: tuple[float, float], mass: float
) -> None:
    server.reply = lambda path, body: (200, {"choices": [{"message": {"content": content}}]})
    with JudgeEndpoint("tiny", settings_for(server.base_url), verdicts="choice") as judge:
        (answer,) = judge.choose(requests_of("Which?"), CHOICES)
        assert judge.identity["verdicts"] == "choice"
    assert (answer.probabilities, answer.mass, answer.error) == (probabilities, mass, None)
    asked = server.bodies[0]["response_format"]
    assert asked["type"] == "json_schema"
    assert json.dumps(["1", "2"]) in json.dumps(asked)


def test_request_that_is_refused_says_so_and_others_go_on(server: Server) -> None:
    def reply(path: str, body: dict[str, Any]) -> Reply:
        if "bad" in str(body["messages"]):
            return 400, "too bad"
        return 200, {"choices": [{"message": {"content": '{"choice": "1"}'}}]}

    server.reply = reply
    with JudgeEndpoint("tiny", settings_for(server.base_url), verdicts="choice") as judge:
        good, bad = judge.choose(requests_of("good", "bad"), CHOICES)
    assert good.probabilities == (1.0, 0.0)
    assert bad.error is not None
    assert "too bad" in bad.error


def test_server_without_logprobs_names_the_way_out(server: Server) -> None:
    server.reply = lambda path, body: (200, {"choices": [{"message": {"content": "1"}}]})
    with (
        JudgeEndpoint("tiny", settings_for(server.base_url)) as judge,
        pytest.raises(EndpointError, match=r"evaluation\.judge\.verdicts: choice"),
    ):
        judge.choose(requests_of("Which?"), CHOICES)
