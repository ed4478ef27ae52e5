"""The paper's rating: where a rationale ends, and samples that a server refused."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from endpoint_server import Reply, Server, candidates, echo, settings_for

from humpback_pipeline.chat import load_prompts
from humpback_pipeline.curation import Pair, Raters, Rating, Scoring, find_scorer
from humpback_pipeline.curation.reasoned import rationale_of
from humpback_pipeline.generation import open_generator
from humpback_pipeline.generation.seeds import request_seed
from humpback_pipeline.recipe_curation import CurationRecipe, ReasonedRecipe

PAIR = Pair("What is blue?", "The sea.", "a")


@pytest.mark.parametrize(
    ("text", "rationale"),
    [
        ("It is good.\nScore: 4", "It is good."),
        ("It is good.\n**Score:** 4", "It is good."),
        ("It is good. ## Score: 4", "It is good."),
        ("It is good.\n**Score**: 4", "It is good."),
        ("It is good.\nscore: 4", "It is good."),
        ("It is good.\n\n## Overall rating: 4/5", "It is good."),
        ("The underscore: it is good.", "The underscore: it is good."),
        ("It is **good**.\nScore: 4\nScore: 5", "It is **good**."),
        ("It is **good**", "It is **good**"),
        ("Score: 2", ""),
    ],
)
def test_rationale_ends_before_the_models_own_score(text: str, rationale: str) -> None:
    assert rationale_of(text) == rationale


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.stop()


def rate(server: Server, *, samples: int) -> Rating:
    settings = CurationRecipe(reasoned=ReasonedRecipe(samples=samples))
    with open_generator("tiny", settings_for(server.base_url)) as engine:
        scoring = Scoring(prompts=load_prompts(), settings=settings)
        return find_scorer("reasoned").rate([PAIR], Raters.of(engine), scoring)[0]


def scores_by_sample(*refused: int) -> Any:
    """The rationale of the nth sample leads to the score n + 1; some are refused."""
    samples = {request_seed(0, f"a#{n}"): n for n in range(5)}

    def reply(path: str, body: dict[str, Any]) -> Reply:
        sample = samples.get(body["seed"], -1)  # the probe, where all that was asked is refused
        if "top_logprobs" not in body:
            return (400, "too much") if sample in refused else (200, echo(body))
        return 200, candidates(**{str(sample + 1): 1.0})

    return reply


def test_rating_is_the_mean_of_the_samples(server: Server) -> None:
    server.reply = scores_by_sample()
    found = rate(server, samples=4)
    assert (found.rating, found.error) == (pytest.approx(2.5), None)


def test_refused_sample_does_not_count_beside_answered_ones(server: Server) -> None:
    server.reply = scores_by_sample(0, 1)
    found = rate(server, samples=4)
    assert (found.rating, found.error) == (pytest.approx(3.5), None)


def test_pair_of_which_all_samples_are_refused_has_the_lowest_rating_and_the_reason(
    server: Server,
) -> None:
    server.reply = scores_by_sample(0, 1)
    found = rate(server, samples=2)
    assert found.rating == 1.0
    assert "too much" in (found.error or "")
