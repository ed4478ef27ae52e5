"""Engines that judge: as any other, and they also tell what each request cost in tokens."""

from __future__ import annotations

import json
import math
import threading
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from humpback_pipeline.generation.endpoint_engine import EndpointGenerator
from humpback_pipeline.generation.endpoint_errors import EndpointError, refusal
from humpback_pipeline.generation.endpoint_replies import asking_for_one_of
from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    GenerationRequest,
    TextGenerator,
)
from humpback_pipeline.generation.fitting import PromptFitter
from humpback_pipeline.generation.probabilities import normalise_choices
from humpback_pipeline.generation.streamed_answers import StreamedAnswers
from humpback_pipeline.generation.streaming import Feed, Stream, Task, stream_answers
from humpback_pipeline.recipe import GenerationRecipe


@dataclass(frozen=True, slots=True)
class TokenUsage:
    """Tokens that one request cost: read, and written."""

    n_prompt_tokens: int
    n_completion_tokens: int


@runtime_checkable
class MeteredGenerator(Protocol):
    """A TextGenerator that knows what its choices cost."""

    def usage(self, request: GenerationRequest, choices: tuple[str, ...]) -> TokenUsage | None:
        """Of a choice just made; None where a server does not tell. Asked once for each."""
        ...


class LocalJudge(StreamedAnswers):
    """A local engine and its tokenizer: what a prompt costs is counted, as the engine cuts it.

    Nothing is written: a choice is read off the next token's probabilities.
    """

    def __init__(self, generator: TextGenerator, folder: Path) -> None:
        self._generator, self._folder = generator, folder
        self.name, self.model_hash = generator.name, generator.model_hash

    @property
    def n_truncated(self) -> int:
        """See TextGenerator."""
        return self._generator.n_truncated

    @property
    def identity(self) -> dict[str, str | int]:
        """See TextGenerator."""
        return self._generator.identity

    def stream(self, task: Task, feed: Feed[Any]) -> Stream:
        """See StreamingEngine."""
        return stream_answers(self._generator, task, feed)

    def close(self) -> None:
        """Stop the engine."""
        self._generator.close()

    def usage(self, request: GenerationRequest, choices: tuple[str, ...]) -> TokenUsage:
        """See MeteredGenerator."""
        spelled, _ = self._fitter.choice_request(request, choices)
        return TokenUsage(len(self._fitter.fit(spelled, 1).token_ids), 0)

    @cached_property
    def _fitter(self) -> PromptFitter:
        from humpback_pipeline.models import load_tokenizer

        # A server's window may be unknown (0); it refuses what does not fit, and cuts nothing.
        window = int(self.identity.get("max_model_tokens", 0)) or 2**31
        return PromptFitter(load_tokenizer(self._folder), window)


class JudgeEndpoint(EndpointGenerator):
    """A server as a judge. Raises EndpointError.

    verdicts: "probabilities" reads the first token's log-probabilities, so a verdict is graded;
    "choice" asks for JSON whose schema allows the choices alone, for servers that give no
    log-probabilities: a verdict is then all or nothing. An answer outside the schema, from a server
    that ignores it, has mass 0.
    """

    def __init__(
        self,
        model: Path | str,
        settings: GenerationRecipe,
        *,
        verdicts: str = "probabilities",
        cache_dir: Path | None = None,
    ) -> None:
        super().__init__(model, settings, cache_dir=cache_dir)
        self._verdicts = verdicts
        self._usages: dict[str, TokenUsage | None] = {}
        self._usages_lock = threading.Lock()

    @property
    def identity(self) -> dict[str, str | int]:
        """See TextGenerator."""
        return {**super().identity, "verdicts": self._verdicts}

    def usage(self, request: GenerationRequest, choices: tuple[str, ...]) -> TokenUsage | None:
        """See MeteredGenerator."""
        with self._usages_lock:
            return self._usages.pop(request.request_id, None)

    def _choose_one(
        self, request: GenerationRequest, choices: tuple[str, ...]
    ) -> ChoiceProbabilities:
        if self._verdicts == "choice":
            return self._choose_in_json(request, choices)
        try:
            return super()._choose_one(request, choices)
        except EndpointError as error:
            if "no log-probabilities" not in str(error):
                raise
            raise EndpointError(
                f"{error} Or set evaluation.judge.verdicts: choice, which needs none."
            ) from error

    def _choose_in_json(
        self, request: GenerationRequest, choices: tuple[str, ...]
    ) -> ChoiceProbabilities:
        schema = {
            "type": "object",
            "properties": {"choice": {"type": "string", "enum": list(choices)}},
            "required": ["choice"],
            "additionalProperties": False,
        }
        named = {"name": "verdict", "strict": True, "schema": schema}
        nothing = normalise_choices(request.request_id, [-math.inf] * len(choices))
        try:
            reply = self._complete(
                asking_for_one_of(request, choices),
                temperature=0.0,
                response_format={"type": "json_schema", "json_schema": named},
            )
        except EndpointError as error:
            return replace(nothing, error=refusal(error))
        chosen = _chosen(str(reply["choices"][0]["message"].get("content") or ""), choices)
        if chosen is None:
            return nothing
        logprobs = [0.0 if choice == chosen else -math.inf for choice in choices]
        return normalise_choices(request.request_id, logprobs)

    def _complete(self, request: GenerationRequest, **parameters: Any) -> dict[str, Any]:
        reply = super()._complete(request, **parameters)
        told = reply.get("usage") or {}
        usage = None
        if told.get("prompt_tokens") is not None:
            usage = TokenUsage(int(told["prompt_tokens"]), int(told.get("completion_tokens") or 0))
        with self._usages_lock:
            self._usages[request.request_id] = usage
        return reply


def _chosen(text: str, choices: tuple[str, ...]) -> str | None:
    """The choice that a reply in JSON, or a bare one, names."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = text.strip()
    named = str(value.get("choice") if isinstance(value, dict) else value).strip()
    return named if named in choices else None
