"""Many requests, chunk by chunk, through an engine and a ledger."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    Generation,
    GenerationRequest,
    TextGenerator,
)
from humpback_pipeline.generation.ledger import Answer, Ledger, answer_with_ledger, ledger_key
from humpback_pipeline.progress import OnProgress, ignore_progress, one_line
from humpback_pipeline.recipe import SamplingRecipe


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
    """One answer to each request, in their order; saved in `ledger` after each chunk.

    Each progress line ends with the last answer in the words of `describe`, or its first ones.
    """
    facts = sampling.model_dump()

    def answer(chunk: list[GenerationRequest]) -> list[dict[str, object]]:
        return [asdict(generation) for generation in generator.generate(chunk, sampling)]

    keys = [_key(request, "generate", generator, facts) for request in requests]
    answers = answer_with_ledger(
        requests,
        keys,
        answer,
        ledger=ledger,
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
    """Choice probabilities for each request, in their order; saved after each chunk.

    Each progress line ends with the last answer in the words of `describe`, if it is given.
    """

    def answer(chunk: list[GenerationRequest]) -> list[dict[str, object]]:
        return [asdict(chosen) for chosen in generator.choose(chunk, choices)]

    keys = [_key(request, "choose", generator, {"choices": choices}) for request in requests]
    answers = answer_with_ledger(
        requests,
        keys,
        answer,
        ledger=ledger,
        chunk_size=chunk_size,
        stage=stage,
        unit=unit,
        on_progress=on_progress,
        describe=lambda request, answer: (
            describe(request, _chosen(request, answer)) if describe else ""
        ),
    )
    return [_chosen(request, answer) for request, answer in zip(requests, answers, strict=True)]


def _opening(request: GenerationRequest, answer: Generation) -> str:
    return one_line(answer.text)


def _chosen(request: GenerationRequest, answer: Answer) -> ChoiceProbabilities:
    return ChoiceProbabilities(
        request.request_id, tuple(answer["probabilities"]), answer["mass"], answer["prompt_cut"]
    )


def _key(
    request: GenerationRequest, method: str, generator: TextGenerator, facts: dict[str, object]
) -> str:
    return ledger_key(
        request.request_id,
        method,
        engine=generator.identity,
        messages=request.messages,
        answer_prefix=request.answer_prefix,
        parameters=facts,
    )
