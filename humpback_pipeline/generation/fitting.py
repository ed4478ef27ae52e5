"""Prompts as token ids that fit the model's window; what had to be cut is counted."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from humpback_pipeline.chat import (
    Message,
    RenderingError,
    choice_token_ids,
    render_example,
    render_plain_text,
    render_prompt,
    special_token_ids,
    turn_ending,
)
from humpback_pipeline.generation.engine import (
    GenerationError,
    GenerationRequest,
    Likelihood,
    LikelihoodRequest,
)


@dataclass(frozen=True)
class FittedPrompt:
    """Token ids of a prompt, and whether text was cut from it."""

    token_ids: list[int]
    cut: bool


@dataclass(frozen=True)
class FittedAnswer:
    """Token ids of a prompt and the answer after it, which begins at `start`.

    n_head: tokens of the answer that are its head. n_end: tokens at the end that end the turn.
    """

    token_ids: list[int]
    start: int
    n_head: int
    n_end: int
    cut: bool

    def likelihood(self, request_id: str, logprobs: list[float]) -> Likelihood:
        """From the log-probability of each token from `start` on."""
        n_answer = len(logprobs) - self.n_end
        answer, end = logprobs[:n_answer], logprobs[n_answer:]
        return Likelihood(
            request_id=request_id,
            logprob=math.fsum(answer),
            n_tokens=len(answer),
            head_logprob=math.fsum(answer[: self.n_head]),
            n_head_tokens=self.n_head,
            end_logprob=math.fsum(end) if end else None,
            cut=self.cut,
        )


@dataclass
class PromptFitter:
    """Renders requests with a model's tokenizer into at most `max_model_tokens` less the answer."""

    tokenizer: Any
    max_model_tokens: int
    n_cut: int = 0
    _choices: dict[tuple[str, ...], tuple[int, list[int]]] = field(default_factory=dict)

    def fit(self, request: GenerationRequest, answer_tokens: int) -> FittedPrompt:
        """Token ids of `request`, leaving room for `answer_tokens`.

        Raises GenerationError if not even the empty prompt fits.
        """
        limit = self.max_model_tokens - answer_tokens

        def render(messages: list[Message]) -> list[int]:
            if request.plain_text:
                text = messages[-1]["content"] + request.answer_prefix
                return render_plain_text(self.tokenizer, text)
            return render_prompt(self.tokenizer, messages, request.answer_prefix)

        token_ids = render(request.messages)
        if len(token_ids) <= limit:
            return FittedPrompt(token_ids, cut=False)
        self.n_cut += 1
        return FittedPrompt(_cut_to_fit(request, limit, render), cut=True)

    def fit_answer(self, request: LikelihoodRequest) -> FittedAnswer:
        """Token ids of a prompt with its answer, leaving room for the one token vLLM must sample.

        If they do not fit, the prompt is cut to what the answer leaves or to half of the window,
        then the answer loses its middle. Raises GenerationError as `fit` does.
        """
        limit = self.max_model_tokens - 1
        example = render_example(self.tokenizer, request.messages, request.answer)
        prompt = example.prompt_ids
        answer, end = self._without_ending(example.completion_ids)
        if request.head_only:
            answer, end = answer[: request.head_tokens], []
        n_head = min(len(answer), request.head_tokens)
        if len(prompt) + len(answer) + len(end) <= limit:
            return FittedAnswer([*prompt, *answer, *end], len(prompt), n_head, len(end), cut=False)
        self.n_cut += 1
        reserved = min(len(answer) + len(end), limit // 2)
        if len(prompt) + reserved > limit:
            bare = GenerationRequest(
                request.request_id, request.messages, cuttable=request.cuttable
            )
            prompt = _cut_to_fit(
                bare, limit - reserved, lambda messages: render_prompt(self.tokenizer, messages)
            )
        room = limit - len(prompt) - len(end)
        if len(answer) > room:
            n_first = (room + 1) // 2
            answer = answer[:n_first] + answer[len(answer) - (room - n_first) :]
            n_head = min(n_head, n_first)
        return FittedAnswer([*prompt, *answer, *end], len(prompt), n_head, len(end), cut=True)

    def _without_ending(self, completion_ids: list[int]) -> tuple[list[int], list[int]]:
        """The answer's own tokens, and those that end its turn.

        The ending counts up to its first special token: what a template writes after that says
        nothing of where the answer ends.
        """
        ending, n_read = self._ending
        if completion_ids[-len(ending) :] != ending:  # the answer's last word and a space in one
            return completion_ids[:-1], completion_ids[-1:]
        return completion_ids[: -len(ending)], ending[:n_read]

    @cached_property
    def _ending(self) -> tuple[list[int], int]:
        """What all completions end with, and how many of these tokens say that the turn ends."""
        ending, special = turn_ending(self.tokenizer), special_token_ids(self.tokenizer)
        first = next((n for n, token in enumerate(ending) if token in special), len(ending) - 1)
        return ending, first + 1

    def choice_request(
        self, request: GenerationRequest, choices: tuple[str, ...]
    ) -> tuple[GenerationRequest, list[int]]:
        """The request to ask, and the token of each choice after it.

        Some tokenizers glue the prefix's last space to what follows (`Score:` and ` 4`): there the
        space moves from the prefix to the choices. Raises GenerationError if that fails too.
        """
        prefix = request.answer_prefix
        # Only the last line shapes the token after it, so that a rationale before that line, which
        # differs from pair to pair, need not be tokenised six times over.
        last_line = prefix[max(0, prefix.rfind("\n")) :]
        wanted = (last_line, *choices)
        if wanted not in self._choices:
            self._choices[wanted] = self._spell(request, choices)
        n_moved, ids = self._choices[wanted]
        return replace(request, answer_prefix=prefix[: len(prefix) - n_moved]), ids

    def _spell(self, request: GenerationRequest, choices: tuple[str, ...]) -> tuple[int, list[int]]:
        """How many spaces move from the prefix to the choices, and the choices' tokens then."""
        prefix = request.answer_prefix
        bare = prefix.rstrip(" ")
        space = prefix[len(bare) :]
        spellings = [(prefix, choices), (bare, tuple(space + choice for choice in choices))]
        problem: RenderingError | None = None
        for spelling, words in spellings:
            try:
                ids = choice_token_ids(self.tokenizer, request.messages, spelling, words)
                return len(prefix) - len(spelling), ids
            except RenderingError as error:
                problem = problem or error
        raise GenerationError(
            f"this model's tokenizer does not write each of {', '.join(choices)} as one token "
            f"({problem}); use a model whose tokenizer does."
        ) from problem


def _cut_to_fit(
    request: GenerationRequest, limit: int, render: Callable[[list[Message]], list[int]]
) -> list[int]:
    pieces = _split(request.messages[-1]["content"], request.cuttable)
    longest = max(len(text) for text, is_cuttable in pieces if is_cuttable)
    fits: list[int] | None = None
    low, high = 0, longest
    # The same bound for every text shortens the longest first and treats two answers alike.
    while low <= high:
        bound = (low + high) // 2
        content = "".join(text[:bound] if is_cuttable else text for text, is_cuttable in pieces)
        last = {**request.messages[-1], "content": content}
        token_ids = render([*request.messages[:-1], last])
        if len(token_ids) <= limit:
            fits, low = token_ids, bound + 1
        else:
            high = bound - 1
    if fits is None:
        raise GenerationError(
            f"request {request.request_id}: the prompt alone needs more than {limit} tokens; raise "
            "generation.vllm.max_model_tokens, lower max_new_tokens or shorten the prompt file."
        )
    return fits


def _split(content: str, cuttable: tuple[str, ...]) -> list[tuple[str, bool]]:
    """Pieces of `content` and whether each may be cut; all of it if the texts are not found."""
    pieces: list[tuple[str, bool]] = []
    position = 0
    for text in cuttable:
        start = content.find(text, position)
        if start < 0:
            return [(content, True)]
        pieces += [(content[position:start], False), (text, True)]
        position = start + len(text)
    if not any(text for text in cuttable):
        return [(content, True)]
    return [*pieces, (content[position:], False)]
