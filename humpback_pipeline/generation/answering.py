"""Many requests, chunk by chunk, through an engine and a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace

from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    Generation,
    GenerationRequest,
    TextGenerator,
)
from humpback_pipeline.generation.ledger import Ledger, answer_with_ledger, ledger_key
from humpback_pipeline.progress import OnProgress, ignore_progress
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
) -> list[Generation]:
    """One answer to each request, in their order; saved in `ledger` after each chunk."""
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
) -> list[ChoiceProbabilities]:
    """Choice probabilities for each request, in their order; saved after each chunk."""

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
    )
    return [
        ChoiceProbabilities(
            request.request_id,
            tuple(answer["probabilities"]),
            answer["mass"],
            answer["prompt_cut"],
        )
        for request, answer in zip(requests, answers, strict=True)
    ]


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
