"""Many requests through an engine and a ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    Generation,
    GenerationRequest,
    Likelihood,
    LikelihoodRequest,
    TextGenerator,
)
from humpback_pipeline.generation.ledger import Answer, Ledger, ledger_key
from humpback_pipeline.generation.resuming import Answering, answer_with_ledger
from humpback_pipeline.generation.streaming import Feed, Stream, Task, stream_answers
from humpback_pipeline.progress import OnProgress, ignore_progress, one_line
from humpback_pipeline.recipe_curation import SamplingRecipe


def generate_all(
    requests: Sequence[GenerationRequest],
    generator: TextGenerator,
    sampling: SamplingRecipe,
    *,
    ledger: Ledger | None = None,
    chunk_size: int = 1_024,
    stage: str = "generating",
    unit: str = "answers",
    on_progress: OnProgress = ignore_progress,
    describe: Callable[[GenerationRequest, Generation], str] | None = None,
) -> list[Generation]:
    """One answer to each request, in their order; never more than a chunk is not in `ledger`.

    Each progress line ends with the last answer in the words of `describe`, or its first ones.
    """
    facts = sampling.model_dump()
    keys = [_key(request, "generate", generator, facts) for request in requests]
    answers = answer_with_ledger(
        requests,
        keys,
        _answering(generator, Task("generate", (sampling,))),
        ledger=ledger,
        length=_prompt_chars,
        chunk_size=chunk_size,
        stage=stage,
        unit=unit,
        on_progress=on_progress,
        describe=lambda request, answer: (describe or _opening)(request, Generation(**answer)),
    )
    return [
        replace(Generation(**answer), request_id=request.request_id)
        for request, answer in zip(requests, answers, strict=True)
    ]


def choose_all(
    requests: Sequence[GenerationRequest],
    generator: TextGenerator,
    choices: tuple[str, ...],
    *,
    ledger: Ledger | None = None,
    chunk_size: int = 1_024,
    stage: str = "choosing",
    unit: str = "prompts",
    on_progress: OnProgress = ignore_progress,
    describe: Callable[[GenerationRequest, ChoiceProbabilities], str] | None = None,
) -> list[ChoiceProbabilities]:
    """Choice probabilities for each request, in their order; saved as by `generate_all`.

    Each progress line ends with the last answer in the words of `describe`, if it is given.
    """
    keys = [_key(request, "choose", generator, {"choices": choices}) for request in requests]
    answers = answer_with_ledger(
        requests,
        keys,
        _answering(generator, Task("choose", (choices,))),
        ledger=ledger,
        length=_prompt_chars,
        chunk_size=chunk_size,
        stage=stage,
        unit=unit,
        on_progress=on_progress,
        describe=lambda request, answer: (
            describe(request, _chosen(request, answer)) if describe else ""
        ),
    )
    return [_chosen(request, answer) for request, answer in zip(requests, answers, strict=True)]


def likelihoods_all(
    requests: Sequence[LikelihoodRequest],
    generator: TextGenerator,
    *,
    ledger: Ledger | None = None,
    chunk_size: int = 1_024,
    stage: str = "reading",
    unit: str = "pairs",
    on_progress: OnProgress = ignore_progress,
) -> list[Likelihood]:
    """How likely each request's answer is, in their order; saved as by `generate_all`."""
    keys = [
        ledger_key(
            request.request_id,
            "likelihoods",
            engine=generator.identity,
            messages=request.messages,
            answer=request.answer,
            head_tokens=request.head_tokens,
            head_only=request.head_only,
            cuttable=request.cuttable,
        )
        for request in requests
    ]
    answers = answer_with_ledger(
        requests,
        keys,
        _answering(generator, Task("likelihoods")),
        ledger=ledger,
        length=lambda request: _prompt_chars(request) + len(request.answer),
        chunk_size=chunk_size,
        stage=stage,
        unit=unit,
        on_progress=on_progress,
    )
    return [
        replace(Likelihood(**answer), request_id=request.request_id)
        for request, answer in zip(requests, answers, strict=True)
    ]


def _answering(generator: TextGenerator, task: Task) -> Answering[Any]:
    def answering(feed: Feed[Any]) -> Stream:
        for finished in stream_answers(generator, task, feed):
            yield [(i, asdict(answer)) for i, answer in finished]

    return answering


def _prompt_chars(request: GenerationRequest | LikelihoodRequest) -> int:
    return sum(len(message["content"]) for message in request.messages)


def _opening(request: GenerationRequest, answer: Generation) -> str:
    return one_line(answer.text)


def _chosen(request: GenerationRequest, answer: Answer) -> ChoiceProbabilities:
    probabilities = tuple(answer["probabilities"])
    return ChoiceProbabilities(
        **{**answer, "request_id": request.request_id, "probabilities": probabilities}
    )


def _key(
    request: GenerationRequest, method: str, generator: TextGenerator, facts: dict[str, object]
) -> str:
    # Only where it is so: other requests keep the keys they have always had.
    plain: dict[str, object] = {"plain_text": True} if request.plain_text else {}
    if request.stop:
        plain["stop"] = request.stop
    return ledger_key(
        request.request_id,
        method,
        engine=generator.identity,
        messages=request.messages,
        answer_prefix=request.answer_prefix,
        cuttable=request.cuttable,
        parameters=facts,
        **plain,
    )
