"""What a chat endpoint is told when an answer cannot be begun, and what its replies hold."""

from __future__ import annotations

import math
from typing import Any

from humpback_pipeline.chat import Message
from humpback_pipeline.generation.engine import Generation, GenerationRequest


def asking_for_one_of(request: GenerationRequest, choices: tuple[str, ...]) -> GenerationRequest:
    """The request with a last line that asks for a bare choice.

    What the begun answer says before its last line, such as a rationale, is a turn of its own.
    """
    ask = f"Reply with one of {', '.join(choices)} and nothing else."
    rationale = request.answer_prefix.rpartition("\n")[0].strip()
    if rationale:
        said: list[Message] = [
            {"role": "assistant", "content": rationale},
            {"role": "user", "content": ask},
        ]
        return GenerationRequest(request.request_id, [*request.messages, *said])
    last = request.messages[-1]
    asking: Message = {**last, "content": f"{last['content']}\n\n{ask}"}
    return GenerationRequest(request.request_id, [*request.messages[:-1], asking])


def window_tokens(served: list[dict[str, Any]], name: str) -> int | None:
    """The window of the model served as `name`; of an adapter, any that the server tells."""
    own = [entry for entry in served if entry.get("id") == name]
    told = (entry.get("max_model_len") for entry in [*own, *served])
    return next((int(tokens) for tokens in told if tokens), None)


def generation_of(request_id: str, reply: dict[str, Any]) -> Generation:
    """The text of a reply, and how likely it was if the server tells."""
    choice, usage = reply["choices"][0], reply.get("usage") or {}
    tokens = token_logprobs(choice)
    values = [float(token["logprob"]) for token in tokens]
    return Generation(
        request_id=request_id,
        text=str(choice.get("text") or (choice.get("message") or {}).get("content") or ""),
        finish_reason="length" if choice.get("finish_reason") == "length" else "stop",
        n_prompt_tokens=int(usage.get("prompt_tokens") or 0),
        n_tokens=int(usage.get("completion_tokens") or len(tokens)),
        mean_logprob=math.fsum(values) / len(values) if values else None,
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
