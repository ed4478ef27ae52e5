"""A model's responses to evaluation prompts (paper section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import polars as pl

from humpback_pipeline.chat import Prompts
from humpback_pipeline.generation.answering import generate_all
from humpback_pipeline.generation.engine import GenerationRequest, TextGenerator
from humpback_pipeline.generation.ledger import Ledger
from humpback_pipeline.progress import OnProgress, ignore_progress, one_line
from humpback_pipeline.recipe_curation import SamplingRecipe

RESPONSE_COLUMNS = {
    "prompt_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "reference": pl.String,
    "generator": pl.String,
    "n_tokens": pl.Int64,
    "finish_reason": pl.String,
}


class PromptRecord(Protocol):
    """An evaluation prompt; `output` is the reference answer."""

    @property
    def prompt_id(self) -> str:
        """Name of the prompt."""
        ...

    @property
    def instruction(self) -> str:
        """What is asked."""
        ...

    @property
    def output(self) -> str:
        """The reference answer."""
        ...


def generate_responses(
    prompts: Sequence[PromptRecord],
    generator: TextGenerator,
    texts: Prompts,
    sampling: SamplingRecipe,
    *,
    generator_name: str | None = None,
    ledger: Ledger | None = None,
    chunk_size: int = 1_024,
    on_progress: OnProgress = ignore_progress,
) -> pl.DataFrame:
    """Answer each prompt under both system tags, as at inference; columns `RESPONSE_COLUMNS`.

    `generator_name` is what the column `generator` says; default: the engine's own name. An answer
    cut at max_new_tokens stays, with finish_reason length.
    """
    requests = [_request(prompt, texts) for prompt in prompts]
    name = generator_name or generator.name
    answers = generate_all(
        requests,
        generator,
        sampling,
        ledger=ledger,
        chunk_size=chunk_size,
        stage=f"responses of {name}",
        unit="prompts",
        on_progress=on_progress,
        describe=lambda request, answer: (
            f"{one_line(request.cuttable[0], 40)} → {one_line(answer.text, 40)}"
        ),
    )
    rows = [
        (
            prompt.prompt_id,
            prompt.instruction,
            answer.text.strip(),
            prompt.output,
            name,
            answer.n_tokens,
            answer.finish_reason,
        )
        for prompt, answer in zip(prompts, answers, strict=True)
    ]
    return pl.DataFrame(rows, schema=RESPONSE_COLUMNS, orient="row")


def _request(prompt: PromptRecord, texts: Prompts) -> GenerationRequest:
    messages = texts.forward_messages(prompt.instruction, "inference")
    return GenerationRequest(prompt.prompt_id, messages, cuttable=(prompt.instruction,))
