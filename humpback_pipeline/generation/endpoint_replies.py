"""What a chat endpoint is told when an answer cannot be begun, and what its replies hold."""

from __future__ import annotations

import math
from typing import Any

from humpback_pipeline.generation.engine import GenerationRequest


def asking_for_one_of(request: GenerationRequest, choices: tuple[str, ...]) -> GenerationRequest:
    """The request with a last line that asks for a bare choice."""
    last = request.messages[-1]
    content = f"{last['content']}\n\nReply with one of {', '.join(choices)} and nothing else."
    return GenerationRequest(
        request.request_id, [*request.messages[:-1], {**last, "content": content}]
    )


def token_logprobs(choice: dict[str, Any]) -> list[dict[str, Any]]:
    """Each token of a reply's choice with its log-probabilities; empty if there are none."""
    return list((choice.get("logprobs") or {}).get("content") or [])


def by_choice(candidates: list[dict[str, Any]], choices: tuple[str, ...]) -> list[float]:
    """Log-probability of each choice: that of all candidates that spell it, spaces aside."""
    probabilities = dict.fromkeys(choices, 0.0)
    for candidate in candidates:
        word = str(candidate["token"]).strip(" ▁Ġ")
        if word in probabilities:
            probabilities[word] += math.exp(float(candidate["logprob"]))
    return [math.log(p) if p > 0 else -math.inf for p in probabilities.values()]
