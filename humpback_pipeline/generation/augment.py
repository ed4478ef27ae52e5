"""Self-augmentation: the backward model writes the instruction of each segment (section 2.2).

With several candidates for a segment, degenerate ones are dropped first, and of the others the one
that the backward model finds likeliest is kept.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from humpback_pipeline.chat import Prompts
from humpback_pipeline.generation.answering import generate_all
from humpback_pipeline.generation.engine import Generation, GenerationRequest, TextGenerator
from humpback_pipeline.generation.instruction_filters import InstructionFilters
from humpback_pipeline.generation.ledger import Ledger
from humpback_pipeline.progress import OnProgress, ignore_progress, one_line
from humpback_pipeline.recipe_curation import InstructionFiltersRecipe, SamplingRecipe

AUGMENTED_COLUMNS = {
    "segment_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "instruction_chars": pl.Int64,
    "output_chars": pl.Int64,
    "finish_reason": pl.String,
    "mean_logprob": pl.Float64,
    "n_candidates": pl.Int64,
}
DROPPED_COLUMNS = {
    "segment_id": pl.String,
    "candidate": pl.Int64,
    "reason": pl.String,
    "text": pl.String,
    "finish_reason": pl.String,
    "mean_logprob": pl.Float64,
    "segment_dropped": pl.Boolean,
}

# What a model may write before the instruction although it was told not to.
_LABEL = re.compile(r"^(?:the\s+)?(?:instruction|question|prompt|query)\s*:\s*", re.IGNORECASE)
_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»"}


@dataclass(frozen=True)
class AugmentedSegments:
    """frame: the candidate pairs, columns `AUGMENTED_COLUMNS`, output = the segment's own text.

    n_candidates: usable candidates of the segment. dropped: reason → segments without any; the
    reason is that of their likeliest candidate. candidates_dropped: reason → candidates, those of
    kept segments too. dropped_rows: these candidates as they were written, columns
    `DROPPED_COLUMNS`. n_truncated: segments whose end was cut off in the prompt (never in
    `output`).
    """

    frame: pl.DataFrame
    dropped: dict[str, int]
    candidates_dropped: dict[str, int]
    dropped_rows: pl.DataFrame
    n_truncated: int


@dataclass(frozen=True)
class _Candidate:
    number: int
    instruction: str
    answer: Generation
    reason: str

    @property
    def likelihood(self) -> float:
        return -math.inf if self.answer.mean_logprob is None else self.answer.mean_logprob


def generate_instructions(
    segments: pl.DataFrame,
    generator: TextGenerator,
    prompts: Prompts,
    sampling: SamplingRecipe,
    *,
    candidates: int = 1,
    filters: InstructionFiltersRecipe | None = None,
    ledger: Ledger | None = None,
    chunk_size: int = 1_024,
    on_progress: OnProgress = ignore_progress,
) -> AugmentedSegments:
    """The instruction of each segment (columns segment_id, text), sampled from M_yx.

    Of several `candidates`, the one with the highest mean log-probability of a token under M_yx, at
    temperature 1, is kept. The mean, not the sum: each token more makes a text less likely, so by
    the sum the shortest candidate would win, however vague. An endpoint that tells no
    log-probabilities gives its first usable one.
    """
    ids, texts = segments["segment_id"].to_list(), segments["text"].to_list()
    # Greedy decoding writes the same text every time.
    k = candidates if sampling.temperature > 0 else 1
    # The candidates of one segment stand together, so that they share its prompt's prefill.
    requests = [
        GenerationRequest(request_id, prompts.backward_messages(text), cuttable=(text,))
        for segment_id, text in zip(ids, texts, strict=True)
        for request_id in candidate_ids(segment_id, k)
    ]
    answers = generate_all(
        requests,
        generator,
        sampling,
        ledger=ledger,
        chunk_size=chunk_size,
        stage="writing instructions",
        unit="segments" if k == 1 else "candidates",
        on_progress=on_progress,
        describe=lambda _, answer: one_line(clean_instruction(answer.text)),
    )
    checks = InstructionFilters(filters or InstructionFiltersRecipe(), prompts)
    by_segment = [
        _judged(text, answers[n * k : (n + 1) * k], checks) for n, text in enumerate(texts)
    ]
    return _collected(ids, texts, by_segment)


def candidate_ids(segment_id: str, n: int) -> list[str]:
    """Request ids of a segment's candidates, which the ledger keeps apart; a lone one has its own.

    `<segment_id>#0`, `#1`, …: more candidates later on leave those that are there already alone.
    """
    return [segment_id] if n == 1 else [f"{segment_id}#{number}" for number in range(n)]


def _judged(
    text: str, answers: Sequence[Generation], filters: InstructionFilters
) -> list[_Candidate]:
    """A segment's candidates, the likeliest first; of equal ones the one that was written first."""
    instructions = [clean_instruction(answer.text) for answer in answers]
    reasons = filters.reasons(text, instructions, answers)
    candidates = [
        _Candidate(number, *parts)
        for number, parts in enumerate(zip(instructions, answers, reasons, strict=True))
    ]
    return sorted(candidates, key=lambda candidate: -candidate.likelihood)


def _collected(
    ids: Sequence[str], texts: Sequence[str], by_segment: Sequence[Sequence[_Candidate]]
) -> AugmentedSegments:
    rows, dropped_rows = [], []
    dropped: Counter[str] = Counter()
    for segment_id, text, candidates in zip(ids, texts, by_segment, strict=True):
        usable = [candidate for candidate in candidates if not candidate.reason]
        if usable:
            rows.append(_row(segment_id, text, usable))
        else:
            dropped[candidates[0].reason] += 1
        dropped_rows += [
            _dropped_row(segment_id, c, segment_dropped=not usable) for c in candidates if c.reason
        ]
    frame = pl.DataFrame(dropped_rows, schema=DROPPED_COLUMNS, orient="row")
    return AugmentedSegments(
        frame=pl.DataFrame(rows, schema=AUGMENTED_COLUMNS, orient="row"),
        dropped=dict(dropped),
        candidates_dropped=dict(Counter(frame["reason"])),
        dropped_rows=frame,
        n_truncated=sum(candidates[0].answer.prompt_cut for candidates in by_segment),
    )


def clean_instruction(text: str) -> str:
    """The instruction without a label such as `Instruction:` and without quotes around it all."""
    text = _LABEL.sub("", text.strip()).strip()
    closing = _QUOTES.get(text[:1])
    # Quotes that also occur inside belong to the text: "A" or "B"?
    if closing and len(text) > 1 and text.endswith(closing) and closing not in text[1:-1]:
        text = text[1:-1].strip()
    return text


def _row(
    segment_id: str, text: str, usable: Sequence[_Candidate]
) -> tuple[str | int | float | None, ...]:
    best = usable[0]
    return (
        segment_id,
        best.instruction,
        text,
        len(best.instruction),
        len(text),
        best.answer.finish_reason,
        best.answer.mean_logprob,
        len(usable),
    )


def _dropped_row(
    segment_id: str, candidate: _Candidate, *, segment_dropped: bool
) -> tuple[str | int | float | None, ...]:
    answer = candidate.answer
    return (
        segment_id,
        candidate.number,
        candidate.reason,
        answer.text,
        answer.finish_reason,
        answer.mean_logprob,
        segment_dropped,
    )
