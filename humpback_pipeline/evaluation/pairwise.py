"""A local judge: which of two answers is better, asked in both orders (after AlpacaEval)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

import polars as pl

from humpback_pipeline.chat import JUDGE_PREFIX, Prompts
from humpback_pipeline.generation import GenerationRequest, Ledger, TextGenerator, choose_all
from humpback_pipeline.progress import OnProgress, ignore_progress, one_line

CHOICES = ("1", "2")


@dataclass(frozen=True, slots=True)
class Preference:
    """How far the judge prefers the model's output to the reference.

    preference: AlpacaEval's scale, 1.0 (the reference) … 2.0 (the model). It is one plus the mean
    probability over both orders and is not rounded to 1, 1.5 or 2, so that a slight preference is
    not counted as a whole win (as AlpacaEval 2 weighs its judge's log-probabilities).
    p_first_order, p_second_order: probability that the model's output is the better one, shown
    first and shown second; their difference is the judge's position bias.
    """

    prompt_id: str
    preference: float
    p_first_order: float
    p_second_order: float
    mass: float = 1.0
    prompt_cut: bool = False


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
    judge's window, the longest text is cut first, so two long answers are left equally long.
    """
    rows = list(responses.select("prompt_id", "instruction", "output", "reference").iter_rows())
    requests = []
    for prompt_id, instruction, output, reference in rows:
        for order, (first, second) in enumerate(((output, reference), (reference, output)), 1):
            messages = prompts.judge_messages(instruction, first, second)
            cuttable = (instruction, first, second)
            name = f"{prompt_id}/order-{order}"
            requests.append(GenerationRequest(name, messages, JUDGE_PREFIX, cuttable))
    answers = choose_all(
        requests,
        generator,
        CHOICES,
        ledger=ledger,
        chunk_size=chunk_size,
        stage=stage,
        unit="comparisons",
        on_progress=on_progress,
        describe=lambda request, answer: (
            f"{answer.probabilities[0]:.0%} for the first answer to {one_line(request.cuttable[0])}"
        ),
    )
    preferences = []
    for (prompt_id, *_), shown_first, shown_second in zip(
        rows, answers[::2], answers[1::2], strict=True
    ):
        p_first, p_second = shown_first.probabilities[0], shown_second.probabilities[1]
        preferences.append(
            Preference(
                prompt_id=prompt_id,
                preference=1.0 + (p_first + p_second) / 2,
                p_first_order=p_first,
                p_second_order=p_second,
                mass=min(shown_first.mass, shown_second.mass),
                prompt_cut=shown_first.prompt_cut or shown_second.prompt_cut,
            )
        )
    return preferences


def position_bias(preferences: Sequence[Preference]) -> float:
    """Mean of p_first_order - p_second_order: above 0, the judge favours what it sees first."""
    return fmean(p.p_first_order - p.p_second_order for p in preferences)
