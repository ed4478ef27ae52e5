"""A judge: which of two answers is better, asked in both orders (after AlpacaEval)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from humpback_pipeline.chat import JUDGE_PREFIX, Prompts
from humpback_pipeline.generation import (
    ChoiceProbabilities,
    Feed,
    GenerationRequest,
    Ledger,
    Stream,
    TextGenerator,
    answer_with_ledger,
    ledger_key,
)
from humpback_pipeline.generation.judging import MeteredGenerator
from humpback_pipeline.generation.streaming import MappedFeed, Task, stream_answers
from humpback_pipeline.progress import OnProgress, ignore_progress, one_line

CHOICES = ("1", "2")
NO_VERDICT = "the judge answered neither 1 nor 2"


@dataclass(frozen=True, slots=True)
class Verdict:
    """One answer of the judge: the probability that what it was shown first is the better one.

    mass: probability it gave to the two choices together, before that was normalised; near 0 it
    did not follow the prompt. error: why there is no verdict (a server refused, or the answer was
    neither choice: mass 0); then p_first is 0.5.
    n_prompt_tokens, n_completion_tokens: what it cost, None where nobody tells; is_cached: it was
    in the ledger, so that cost is of an earlier run.
    """

    p_first: float
    mass: float = 1.0
    prompt_cut: bool = False
    error: str | None = None
    n_prompt_tokens: int | None = None
    n_completion_tokens: int | None = None
    is_cached: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Preference:
    """How far the judge prefers the model's output to the reference.

    preference: AlpacaEval's scale, 1.0 (the reference) … 2.0 (the model). It is one plus the mean
    probability over both orders and is not rounded to 1, 1.5 or 2, so that a slight preference is
    not counted as a whole win (as AlpacaEval 2 weighs its judge's log-probabilities).
    p_first_order, p_second_order: probability that the model's output is the better one, shown
    first and shown second; their difference is the judge's position bias.
    verdicts: the two answers it is made of, in that order.
    """

    prompt_id: str
    preference: float
    p_first_order: float
    p_second_order: float
    mass: float = 1.0
    prompt_cut: bool = False
    verdicts: tuple[Verdict, ...] = ()

    @property
    def is_refused(self) -> bool:
        """Whether the pair has no verdict in either order; its 0.5 means nothing and is no draw."""
        return any(verdict.error for verdict in self.verdicts)

    @property
    def flips(self) -> bool:
        """Whether the order alone decides which of the two answers is preferred."""
        return (self.p_first_order - 0.5) * (self.p_second_order - 0.5) < 0


def judge_pairs(
    responses: pl.DataFrame,
    generator: TextGenerator,
    prompts: Prompts,
    *,
    ledger: Ledger | None = None,
    chunk_size: int = 1_024,
    stage: str = "judging",
    on_progress: OnProgress = ignore_progress,
) -> list[Preference]:
    """Compare each response with its reference; one Preference a row, in their order.

    responses: columns prompt_id, instruction, output, reference. If a comparison does not fit the
    judge's window, the longest text is cut first, so two long answers are left equally long. The
    verdict is constrained to "1" or "2". Token counts are there if the generator tells them (see
    `generation.judging`), and the ledger keeps them with the verdicts.
    """
    rows = list(responses.select("prompt_id", "instruction", "output", "reference").iter_rows())
    requests = []
    for prompt_id, instruction, output, reference in rows:
        for order, (first, second) in enumerate(((output, reference), (reference, output)), 1):
            messages = prompts.judge_messages(instruction, first, second)
            cuttable = (instruction, first, second)
            name = f"{prompt_id}/order-{order}"
            requests.append(GenerationRequest(name, messages, JUDGE_PREFIX, cuttable))
    verdicts = _verdicts(
        requests,
        generator,
        ledger=ledger,
        chunk_size=chunk_size,
        stage=stage,
        on_progress=on_progress,
    )
    return [
        _preference(prompt_id, *both)
        for (prompt_id, *_), both in zip(
            rows, zip(verdicts[::2], verdicts[1::2], strict=True), strict=True
        )
    ]


def _preference(prompt_id: str, shown_first: Verdict, shown_second: Verdict) -> Preference:
    p_first, p_second = shown_first.p_first, 1.0 - shown_second.p_first
    return Preference(
        prompt_id=prompt_id,
        preference=1.0 + (p_first + p_second) / 2,
        p_first_order=p_first,
        p_second_order=p_second,
        mass=min(shown_first.mass, shown_second.mass),
        prompt_cut=shown_first.prompt_cut or shown_second.prompt_cut,
        verdicts=(shown_first, shown_second),
    )


def _verdicts(
    requests: Sequence[GenerationRequest],
    generator: TextGenerator,
    *,
    ledger: Ledger | None,
    chunk_size: int,
    stage: str,
    on_progress: OnProgress,
) -> list[Verdict]:
    """As `choose_all`, but an answer in the ledger also says what it cost."""
    asked: set[str] = set()

    def answering(feed: Feed[GenerationRequest]) -> Stream:
        taken: dict[int, GenerationRequest] = {}

        def note(i: int, request: GenerationRequest) -> GenerationRequest:
            taken[i] = request
            return request

        task = Task("choose", (CHOICES,))
        for finished in stream_answers(generator, task, MappedFeed(feed, note)):
            asked.update(_key(taken[i], generator) for i, _ in finished)
            yield [(i, _with_usage(answer, taken.pop(i), generator)) for i, answer in finished]

    keys = [_key(request, generator) for request in requests]
    answers = answer_with_ledger(
        requests,
        keys,
        answering,
        ledger=ledger,
        length=lambda request: sum(len(message["content"]) for message in request.messages),
        chunk_size=chunk_size,
        stage=stage,
        unit="comparisons",
        on_progress=on_progress,
        describe=lambda request, answer: (
            f"{answer['probabilities'][0]:.0%} for the first answer to "
            f"{one_line(request.cuttable[0])}"
        ),
    )
    return [
        Verdict(
            p_first=answer["probabilities"][0],
            mass=answer["mass"],
            prompt_cut=answer["prompt_cut"],
            error=answer.get("error") or (None if answer["mass"] > 0 else NO_VERDICT),
            n_prompt_tokens=answer.get("n_prompt_tokens"),
            n_completion_tokens=answer.get("n_completion_tokens"),
            is_cached=key not in asked,
        )
        for key, answer in zip(keys, answers, strict=True)
    ]


def _with_usage(
    answer: ChoiceProbabilities, request: GenerationRequest, generator: TextGenerator
) -> dict[str, Any]:
    usage = None
    if isinstance(generator, MeteredGenerator) and not answer.error:
        usage = generator.usage(request, CHOICES)
    return {**asdict(answer), **(asdict(usage) if usage else {})}


def _key(request: GenerationRequest, generator: TextGenerator) -> str:
    return ledger_key(
        request.request_id,
        "choose",
        engine=generator.identity,
        messages=request.messages,
        answer_prefix=request.answer_prefix,
        cuttable=request.cuttable,
        parameters={"choices": CHOICES},
    )
