"""Pairs made into token ids: forward (instruction → output) and backward (output → instruction)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from humpback_pipeline.chat import Message, Prompts, render_example
from humpback_pipeline.recipe_mixture import OverLength

Direction = Literal["forward", "backward"]
# A cut that leaves less of an answer than this teaches nothing about answering.
MIN_CUT_COMPLETION_TOKENS = 16
IGNORED_LABEL = -100


@dataclass(frozen=True, slots=True)
class TrainingPair:
    """A pair to train on: `origin` is `seed` (tag S_a) or `web` (tag S_w), as in the paper."""

    pair_id: str
    instruction: str
    output: str
    origin: Literal["seed", "web"] = "seed"


@dataclass(frozen=True, slots=True)
class TrainingExample:
    """Token ids of one example; the loss is taken on `completion_ids` alone."""

    example_id: str
    prompt_ids: tuple[int, ...]
    completion_ids: tuple[int, ...]
    truncated: bool = False

    @property
    def input_ids(self) -> list[int]:
        """Prompt and completion."""
        return [*self.prompt_ids, *self.completion_ids]

    @property
    def labels(self) -> list[int]:
        """`input_ids` with every prompt token ignored."""
        return [*[IGNORED_LABEL] * len(self.prompt_ids), *self.completion_ids]

    @property
    def n_tokens(self) -> int:
        """Tokens of the whole example."""
        return len(self.prompt_ids) + len(self.completion_ids)


@dataclass(frozen=True)
class BuiltExamples:
    """Examples in the order of their pairs; `dropped` is reason → the pairs left out."""

    examples: list[TrainingExample]
    dropped: dict[str, list[str]] = field(default_factory=dict)

    @property
    def n_truncated(self) -> int:
        """How many completions were cut."""
        return sum(example.truncated for example in self.examples)

    @property
    def dropped_counts(self) -> dict[str, int]:
        """Reason → number of pairs left out."""
        return {reason: len(ids) for reason, ids in self.dropped.items()}


def build_examples(
    pairs: Iterable[TrainingPair],
    prompts: Prompts,
    tokenizer: Any,
    direction: Direction,
    max_tokens: int,
    over_length: OverLength = "cut",
) -> BuiltExamples:
    """Render pairs to a list of examples of at most `max_tokens` tokens; see `rendered_examples`.

    For sets of any size, `write_examples` takes the examples of `rendered_examples` as they come.
    """
    dropped: dict[str, list[str]] = {}

    def on_dropped(pair: TrainingPair, reason: str) -> None:
        dropped.setdefault(reason, []).append(pair.pair_id)

    examples = rendered_examples(
        pairs, prompts, tokenizer, direction, max_tokens, over_length, on_dropped=on_dropped
    )
    return BuiltExamples(list(examples), dropped)


def rendered_examples(
    pairs: Iterable[TrainingPair],
    prompts: Prompts,
    tokenizer: Any,
    direction: Direction,
    max_tokens: int,
    over_length: OverLength = "cut",
    *,
    on_dropped: Callable[[TrainingPair, str], None],
) -> Iterator[TrainingExample]:
    """Render pairs one by one to examples of at most `max_tokens` tokens.

    Forward examples carry the tag of their origin; backward ones ask for the instruction of an
    output, the same for every origin (paper section 2.2). Of a longer example the completion is
    cut, never the prompt, and at its end: its last tokens go, the end of turn with them, so that
    no answer is taught to stop in mid-sentence. Where the prompt leaves fewer than 16 tokens for
    it, the pair is dropped (`prompt_too_long`), as is one with nothing to learn (`empty`); with
    `over_length` "drop" every longer one is (`too_long`). `on_dropped` is told of each, with the
    reason. Raises chat.RenderingError.
    """
    for pair in pairs:
        messages, answer = _turn(pair, prompts, direction)
        if not answer.strip():
            on_dropped(pair, "empty")
            continue
        rendered = render_example(tokenizer, messages, answer)
        room = max_tokens - len(rendered.prompt_ids)
        truncated = len(rendered.completion_ids) > room
        if truncated and over_length == "drop":
            on_dropped(pair, "too_long")
            continue
        if truncated and room < MIN_CUT_COMPLETION_TOKENS:
            on_dropped(pair, "prompt_too_long")
            continue
        completion = rendered.completion_ids[:room]
        yield TrainingExample(
            pair.pair_id, tuple(rendered.prompt_ids), tuple(completion), truncated
        )


def hash_examples(examples: Iterable[TrainingExample]) -> str:
    """SHA-256 over the ids and tokens of examples, in their order."""
    digest = hashlib.sha256()
    for example in examples:
        digest.update(
            f"{example.example_id}\0{example.prompt_ids}\0{example.completion_ids}\n".encode()
        )
    return digest.hexdigest()


def _turn(pair: TrainingPair, prompts: Prompts, direction: Direction) -> tuple[list[Message], str]:
    if direction == "backward":
        return prompts.backward_messages(pair.output), pair.instruction
    return prompts.forward_messages(pair.instruction, pair.origin), pair.output
