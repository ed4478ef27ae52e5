"""Self-augmentation: the backward model writes the instruction of each segment (section 2.2)."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass

import polars as pl

from humpback_pipeline.chat import Prompts
from humpback_pipeline.generation.answering import generate_all
from humpback_pipeline.generation.engine import Generation, GenerationRequest, TextGenerator
from humpback_pipeline.generation.ledger import Ledger
from humpback_pipeline.progress import OnProgress, ignore_progress, one_line
from humpback_pipeline.recipe import SamplingRecipe

AUGMENTED_COLUMNS = {
    "segment_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "instruction_chars": pl.Int64,
    "output_chars": pl.Int64,
    "finish_reason": pl.String,
    "mean_logprob": pl.Float64,
}
DROPPED_COLUMNS = {"segment_id": pl.String, "reason": pl.String, "text": pl.String}
EMPTY = "empty_instruction"
CUT = "cut_instruction"

# What a model may write before the instruction although it was told not to.
_LABEL = re.compile(r"^(?:the\s+)?(?:instruction|question|prompt|query)\s*:\s*", re.IGNORECASE)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»"}


@dataclass(frozen=True)
class AugmentedSegments:
    """frame: the candidate pairs, columns `AUGMENTED_COLUMNS`, output = the segment's own text.

    dropped: reason → count, for instructions that are empty or were cut at max_new_tokens.
    dropped_rows: those, columns `DROPPED_COLUMNS`. n_truncated: segments whose end was cut off in
    the prompt (never in `output`).
    """

    frame: pl.DataFrame
    dropped: dict[str, int]
    dropped_rows: pl.DataFrame
    n_truncated: int


def generate_instructions(
    segments: pl.DataFrame,
    generator: TextGenerator,
    prompts: Prompts,
    sampling: SamplingRecipe,
    *,
    ledger: Ledger | None = None,
    chunk_size: int = 1_024,
    on_progress: OnProgress = ignore_progress,
) -> AugmentedSegments:
    """One candidate instruction for each segment (columns segment_id, text), sampled from M_yx."""
    ids, texts = segments["segment_id"].to_list(), segments["text"].to_list()
    requests = [
        GenerationRequest(segment_id, prompts.backward_messages(text), cuttable=(text,))
        for segment_id, text in zip(ids, texts, strict=True)
    ]
    answers = generate_all(
        requests,
        generator,
        sampling,
        ledger=ledger,
        chunk_size=chunk_size,
        stage="writing instructions",
        unit="segments",
        on_progress=on_progress,
        describe=lambda _, answer: one_line(clean_instruction(answer.text)),
    )
    rows, dropped = [], []
    for text, answer in zip(texts, answers, strict=True):
        instruction = clean_instruction(answer.text)
        reason = _drop_reason(instruction, answer)
        if reason:
            dropped.append((answer.request_id, reason, answer.text))
        else:
            rows.append(_row(answer, instruction, text))
    return AugmentedSegments(
        frame=pl.DataFrame(rows, schema=AUGMENTED_COLUMNS, orient="row"),
        dropped=dict(Counter(reason for _, reason, _ in dropped)),
        dropped_rows=pl.DataFrame(dropped, schema=DROPPED_COLUMNS, orient="row"),
        n_truncated=sum(answer.prompt_cut for answer in answers),
    )


def clean_instruction(text: str) -> str:
    """The instruction without a label such as `Instruction:` and without quotes around it all."""
    text = _LABEL.sub("", text.strip()).strip()
    closing = _QUOTES.get(text[:1])
    # Quotes that also occur inside belong to the text: "A" or "B"?
    if closing and len(text) > 1 and text.endswith(closing) and closing not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def _drop_reason(instruction: str, answer: Generation) -> str:
    if not any(character.isalnum() for character in instruction):
        return EMPTY
    return CUT if answer.finish_reason == "length" else ""


def _row(answer: Generation, instruction: str, text: str) -> tuple[str | int | float | None, ...]:
    return (
        answer.request_id,
        instruction,
        text,
        len(instruction),
        len(text),
        answer.finish_reason,
        answer.mean_logprob,
    )
