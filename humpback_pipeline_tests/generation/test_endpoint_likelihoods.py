"""Likelihoods from a server that gives the log-probabilities of its prompt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint_server import Reply, Server, settings_for
from tiny_models import save_tiny_model

from humpback_pipeline.curation import Pair, Raters, Reference, Scoring, find_scorer
from humpback_pipeline.generation import EndpointError, LikelihoodRequest, open_generator

REFUSED = "elephant"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    started.models = [{"id": "tiny", "owned_by": "vllm", "max_model_len": 8_192}]
    yield started
    started.stop()


def reads_tokens(model: Path, refused: str = REFUSED) -> Any:
    """Each token is as likely as one of its rank among the positions; `refused` texts are bad."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)

    def reply(path: str, body: dict[str, Any]) -> Reply:
        assert path == "/v1/completions"
        tokens = body["prompt"]
        if refused in tokenizer.decode(tokens):
            return 400, "no elephants"
        given = [None, *({str(t): {"logprob": -float(n)}} for n, t in enumerate(tokens[1:], 1))]
        return 200, {"choices": [{"prompt_logprobs": given}]}

    return reply


def request(answer: str) -> LikelihoodRequest:
    return LikelihoodRequest(answer, [{"role": "user", "content": "Say it."}], answer)


def test_likelihood_is_that_of_the_answers_own_tokens(server: Server, model: Path) -> None:
    server.reply = reads_tokens(model)
    with open_generator(model, settings_for(server.base_url)) as engine:
        (found,) = engine.likelihoods([request("The sea is blue.")])
    (body,) = server.bodies
    last = len(body["prompt"]) - 1
    assert found.error is None
    assert found.end_logprob == -last
    assert found.logprob == -sum(range(last - found.n_tokens, last))
    assert body["prompt_logprobs"] == 0


def test_refused_reading_is_the_error_of_its_pair_and_the_rest_is_rated(
    server: Server, model: Path, scoring: Scoring
) -> None:
    server.reply = reads_tokens(model)
    pairs = [Pair("What is blue?", "The sea."), Pair("What is grey?", f"An {REFUSED}.")]
    with open_generator(model, settings_for(server.base_url)) as engine:
        ratings = find_scorer("combined").rate(pairs, Raters.of(engine), scoring)
    assert [rating.rating > 1.0 for rating in ratings] == [True, False]
    assert ratings[0].error is None
    assert "no elephants" in (ratings[1].error or "")


@pytest.fixture
def scoring() -> Scoring:
    from humpback_pipeline.chat import load_prompts
    from humpback_pipeline.curation import SIGNALS
    from humpback_pipeline.recipe_curation import CurationRecipe

    low = {name: tuple(-1_000.0 - n for n in range(20)) for name in SIGNALS}
    return Scoring(prompts=load_prompts(), settings=CurationRecipe(), reference=Reference(low))


def test_server_without_prompt_logprobs_is_an_error(server: Server, model: Path) -> None:
    server.reply = lambda path, body: (200, {"choices": [{"text": "x"}]})
    with (
        open_generator(model, settings_for(server.base_url)) as engine,
        pytest.raises(EndpointError, match="gives no prompt_logprobs"),
    ):
        engine.likelihoods([request("The sea is blue.")])
