"""What a model writes for a few held-out prompts, before and after its training."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from typing import Any

import numpy as np

from humpback_pipeline.training import ranks
from humpback_pipeline.training.counts import count_examples
from humpback_pipeline.training.examples import TrainingExample

MAX_NEW_TOKENS = 64
MAX_PROMPT_TOKENS = 1_024
MAX_CHARS = 400
MAX_S = 20.0  # for the texts of one moment together
logger = logging.getLogger(__name__)


class Samples:
    """Continuations of the first `n` held-out prompts of a readable length.

    Written greedily, so no random number is drawn, in batches of at most `batch_tokens` tokens.
    before, after: a text for each prompt, as far as time allowed.
    """

    def __init__(
        self, held_out: Sequence[TrainingExample], n: int, tokenizer: Any, batch_tokens: int
    ) -> None:
        short = np.flatnonzero(count_examples(held_out).n_prompt_tokens <= MAX_PROMPT_TOKENS)
        self.examples = [held_out[number] for number in short[:n].tolist()]
        self.before: list[str] = []
        self.after: list[str] = []
        self._tokenizer = tokenizer
        self._batch_tokens = batch_tokens
        self._held_out, self._short = held_out, short

    def write_before(self, model: Any) -> None:
        """Let the untrained `model` continue the prompts; the main process does."""
        self.before = self._continued(model)

    def write_after(self, model: Any) -> None:
        """Let the trained `model` continue the prompts; the main process does."""
        self.after = self._continued(model)

    def facts(self) -> list[dict[str, str]]:
        """Of each prompt: prompt, expected, before and after, of at most 400 characters each.

        Prompts without a text afterwards are left out; `before` is empty where none was written.
        Lines that all held-out prompts begin or end with, the template's words, are not shown.
        """
        if not self.examples:
            return []
        all_short = (self._held_out[number] for number in self._short)
        first, last = _shared_lines(self._text(example.prompt_ids) for example in all_short)
        prompts = [_without(self._text(e.prompt_ids), first, last) for e in self.examples]
        before = [*self.before, *[""] * (len(self.examples) - len(self.before))]
        return [
            {
                "prompt": _shortened(prompt),
                "expected": _shortened(self._text(example.completion_ids)),
                "before": text_before,
                "after": text_after,
            }
            for prompt, example, text_before, text_after in zip(
                prompts, self.examples, before, self.after, strict=False
            )
        ]

    def _continued(self, model: Any) -> list[str]:
        if not self.examples or not ranks.is_main():
            return []
        longest = max(len(example.prompt_ids) for example in self.examples)
        n = max(1, self._batch_tokens // (longest + MAX_NEW_TOKENS))
        texts: list[str] = []
        deadline_s = time.monotonic() + MAX_S
        with _undisturbed(model):
            for start in range(0, len(self.examples), n):
                left_s = deadline_s - time.monotonic()
                if left_s <= 0:
                    logger.info("%d samples of %d took %g s", len(texts), len(self.examples), MAX_S)
                    break
                texts += self._batch(model, self.examples[start : start + n], left_s)
        return texts

    def _batch(self, model: Any, part: Sequence[TrainingExample], max_s: float) -> list[str]:
        import torch
        from transformers import GenerationConfig

        width, pad = max(len(e.prompt_ids) for e in part), self._tokenizer.pad_token_id
        device = ranks.device_of(model)
        rows = [[pad] * (width - len(e.prompt_ids)) + list(e.prompt_ids) for e in part]
        mask = [[0] * (width - len(e.prompt_ids)) + [1] * len(e.prompt_ids) for e in part]
        ends = {self._tokenizer.eos_token_id, *_as_list(model.generation_config.eos_token_id)}
        config = GenerationConfig(
            max_new_tokens=MAX_NEW_TOKENS,
            max_time=max_s,
            do_sample=False,
            eos_token_id=sorted(end for end in ends if end is not None) or None,
            use_cache=True,  # gradient checkpointing may have switched it off
            pad_token_id=pad,
            repetition_penalty=1.0,  # some models bring their own
        )
        written = model.generate(
            input_ids=torch.tensor(rows, device=device),
            attention_mask=torch.tensor(mask, device=device),
            generation_config=config,
        )
        return [_shortened(self._text(ids)) for ids in written[:, width:].tolist()]

    def _text(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True)).strip()


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    """Without dropout or gradients; mode and random state are as before afterwards."""
    import torch

    device = ranks.device_of(model)
    was_training = model.training
    devices = [device] if device.type == "cuda" else []
    with (
        torch.no_grad(),
        torch.autocast(device.type, dtype=torch.bfloat16),
        torch.random.fork_rng(devices),
    ):
        model.eval()
        try:
            yield
        finally:
            model.train(was_training)


def _shared_lines(texts: Iterator[str]) -> tuple[int, int]:
    """How many whole lines all `texts` begin with and, of the rest, end with.

    Of texts that are all the same it is none.
    """
    one = next(texts)
    head = one.split("\n")
    tail, shortest, differ = head[::-1], len(head), False
    for text in texts:
        lines = text.split("\n")
        head, tail = _shared(head, lines), _shared(tail, lines[::-1])
        shortest, differ = min(shortest, len(lines)), differ or text != one
    return (len(head), min(len(tail), shortest - len(head))) if differ else (0, 0)


def _shared(one: list[str], other: list[str]) -> list[str]:
    """The lines that both begin with."""
    both = zip(one, other, strict=False)
    return [line for line, _ in takewhile(lambda lines: lines[0] == lines[1], both)]


def _without(text: str, first: int, last: int) -> str:
    """`text` without so many lines at its begin and its end, but never nothing."""
    lines = text.split("\n")
    return "\n".join(lines[first : len(lines) - last]) or text


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_CHARS else text[: MAX_CHARS - 1].rstrip() + "…"
