"""Few-shot prompting of the base model: the baseline that trains nothing.

The prompt is plain text for every model, with a chat template or without: a header, worked
examples, and the instruction; the model continues it. What it answers within its chat template,
without examples, is told by `generate_responses`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from humpback_pipeline.generation.answering import generate_all
from humpback_pipeline.generation.engine import Generation, GenerationRequest, TextGenerator
from humpback_pipeline.generation.few_shot_prompts import (
    Demonstrations,
    PlainPrompts,
    choose_demonstrations,
)
from humpback_pipeline.generation.ledger import Ledger
from humpback_pipeline.generation.respond import RESPONSE_COLUMNS, PromptRecord
from humpback_pipeline.progress import OnProgress, ignore_progress, one_line
from humpback_pipeline.recipe_curation import SamplingRecipe

# A low guess (English has about 4), as only the engine knows the tokenizer: what still does not
# fit, it cuts and counts.
CHARS_PER_TOKEN: Final = 3

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FewShotAnswers:
    """frame: columns `RESPONSE_COLUMNS`. demonstrations: those shown before every prompt.

    n_ended_by_marker: outputs after which the model went on with a next example, which was cut off.
    n_prompts_cut: prompts that the engine had to shorten all the same.
    """

    frame: pl.DataFrame
    demonstrations: Demonstrations
    n_ended_by_marker: int
    n_prompts_cut: int


def few_shot_responses(
    prompts: Sequence[PromptRecord],
    demonstrations: pl.DataFrame,
    generator: TextGenerator,
    sampling: SamplingRecipe,
    *,
    n_shots: int,
    templates: PlainPrompts,
    ledger: Ledger | None = None,
    chunk_size: int = 1_024,
    on_progress: OnProgress = ignore_progress,
    generator_name: str | None = None,
) -> pl.DataFrame:
    """`few_shot_answers`, the table alone; what it counts goes to the log."""
    answers = few_shot_answers(
        prompts,
        demonstrations,
        generator,
        sampling,
        n_shots=n_shots,
        templates=templates,
        ledger=ledger,
        chunk_size=chunk_size,
        on_progress=on_progress,
        generator_name=generator_name,
    )
    logger.info(
        "few-shot prompts: %d example(s), %d of them shortened, %d left out; %d "
        "of %d outputs ended where the next example began; %d prompts cut to fit",
        len(answers.demonstrations.shown),
        answers.demonstrations.n_shortened,
        answers.demonstrations.n_left_out,
        answers.n_ended_by_marker,
        answers.frame.height,
        answers.n_prompts_cut,
    )
    return answers.frame


def few_shot_answers(
    prompts: Sequence[PromptRecord],
    demonstrations: pl.DataFrame,
    generator: TextGenerator,
    sampling: SamplingRecipe,
    *,
    n_shots: int,
    templates: PlainPrompts,
    seed: int = 0,
    ledger: Ledger | None = None,
    chunk_size: int = 1_024,
    on_progress: OnProgress = ignore_progress,
    generator_name: str | None = None,
) -> FewShotAnswers:
    """Answer each prompt after `n_shots` of `demonstrations` (columns instruction, output).

    An output ends where the model begins a next example; one that is cut at max_new_tokens stays,
    with finish_reason length. n_tokens counts what was sampled, a begun next example with it.
    """
    longest_chars = max((len(prompt.instruction) for prompt in prompts), default=0)
    shown = fitting_demonstrations(
        demonstrations, n_shots, templates, generator, sampling, longest_chars, seed=seed
    )
    name = generator_name or generator.name
    answers = generate_all(
        [
            few_shot_request(prompt.prompt_id, prompt.instruction, shown, templates)
            for prompt in prompts
        ],
        generator,
        sampling,
        ledger=ledger,
        chunk_size=chunk_size,
        stage=f"few-shot responses of {name}",
        unit="prompts",
        on_progress=on_progress,
        describe=lambda _, answer: one_line(templates.cut_at_marker(answer.text)[0]),
    )
    cut = [completed(answer, templates) for answer in answers]
    rows = [
        (
            prompt.prompt_id,
            prompt.instruction,
            text,
            prompt.output,
            name,
            answer.n_tokens,
            finish_reason,
        )
        for prompt, answer, (text, finish_reason, _) in zip(prompts, answers, cut, strict=True)
    ]
    return FewShotAnswers(
        frame=pl.DataFrame(rows, schema=RESPONSE_COLUMNS, orient="row"),
        demonstrations=shown,
        n_ended_by_marker=sum(by_marker for _, _, by_marker in cut),
        n_prompts_cut=sum(answer.prompt_cut for answer in answers),
    )


def fitting_demonstrations(
    pairs: pl.DataFrame,
    n: int,
    templates: PlainPrompts,
    generator: TextGenerator,
    sampling: SamplingRecipe,
    longest_chars: int,
    *,
    seed: int = 0,
) -> Demonstrations:
    """`choose_demonstrations` for the model's window, less the answer and the longest instruction.

    For the latter, no more than half of the window is set aside. All are taken to fit where the
    engine does not tell its window.
    """
    window_tokens = int(generator.identity.get("max_model_tokens", 0))
    if not window_tokens:
        return choose_demonstrations(pairs, n, templates, seed=seed)
    room_chars = max(0, window_tokens - sampling.max_new_tokens) * CHARS_PER_TOKEN
    max_chars = room_chars - min(longest_chars, room_chars // 2)
    return choose_demonstrations(pairs, n, templates, seed=seed, max_chars=max_chars)


def few_shot_request(
    request_id: str, instruction: str, demonstrations: Demonstrations, templates: PlainPrompts
) -> GenerationRequest:
    """The request for the output of `instruction` after the demonstrations, in plain text."""
    text = templates.few_shot(demonstrations.shown, instruction)
    return GenerationRequest(
        request_id,
        [{"role": "user", "content": text}],
        cuttable=(*(one.output for one in demonstrations.shown), instruction),
        plain_text=True,
        stop=(templates.marker,),
    )


def completed(answer: Generation, templates: PlainPrompts) -> tuple[str, str, bool]:
    """An output without what follows it, why it ended, and whether a next example ended it."""
    text, by_marker = templates.cut_at_marker(answer.text)
    return text, "stop" if by_marker else answer.finish_reason, by_marker
