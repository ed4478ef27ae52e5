"""What vLLM is asked for a prompt, and how its engine is kept full while prompts come and go."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from humpback_pipeline.generation.engine import EngineDiedError, GenerationError
from humpback_pipeline.generation.streaming import Feed, Stream
from humpback_pipeline.recipe_curation import SamplingRecipe

# complete: sample a Completion, which ends with the first of the texts in `detail`.
# choice_logprobs: of the token ids in `detail` as the next token.
# prompt_logprobs: of the prompt's own tokens from position `detail` (at least 1) on.
Method = Literal["complete", "choice_logprobs", "prompt_logprobs"]

# Added between two steps, so that the engine sets to work while the rest is still being tokenised.
MOST_ADDED_PER_STEP = 64


class Prompt(NamedTuple):
    """Token ids, and what a method needs to know besides them."""

    token_ids: list[int]
    detail: Any = None


@dataclass(frozen=True)
class Completion:
    """One sampled continuation; `sum_logprob` is under the model itself, before any sampling."""

    text: str
    finish_reason: str
    n_tokens: int
    sum_logprob: float


def run_stream(
    llm: Any, method: Method, feed: Feed[Prompt], sampling: SamplingRecipe | None, lora: Any
) -> Stream:
    """Answers of a `vllm.LLM`, after each of its steps those that have finished.

    Raises EngineDiedError if a step fails; what is wrong with a prompt is raised as it is.
    """
    engine = llm.llm_engine
    asked: dict[str, tuple[int, Prompt]] = {}
    try:
        while True:
            for i, prompt in feed.take(MOST_ADDED_PER_STEP, idle=not asked):
                request_id = str(next(llm.request_counter))
                asked[request_id] = (i, prompt)
                engine.add_request(
                    request_id,
                    {"prompt_token_ids": list(prompt.token_ids)},
                    _parameters(method, prompt, sampling),
                    lora_request=lora,
                )
            if not asked:
                return
            finished = []
            for output in _step(engine):
                if output.finished:
                    i, prompt = asked.pop(output.request_id)
                    finished.append((i, _answer(method, prompt, output)))
            yield finished
    finally:
        if asked:  # given up: the next stream would find them in its way
            with suppress(Exception):  # of an engine that is dead itself
                engine.abort_request(list(asked))


def _step(engine: Any) -> list[Any]:
    try:
        return list(engine.step())
    except GenerationError:
        raise
    except Exception as error:
        raise EngineDiedError(f"vLLM failed: {type(error).__name__}: {error}") from error


def _parameters(method: Method, prompt: Prompt, sampling: SamplingRecipe | None) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    # No seed here: a request's own seed is more than the CPU engine can do (it dies of "CPU
    # Generator does not use offset"), so the engine as a whole is seeded.
    last: dict[str, Any] = {"output_kind": RequestOutputKind.FINAL_ONLY}
    if method == "complete":
        assert sampling is not None
        return SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            logprobs=0,
            stop=prompt.detail or None,
            include_stop_str_in_output=bool(prompt.detail),  # for who asked to see and cut
            **last,
        )
    one = {"temperature": 0.0, "max_tokens": 1, "detokenize": False, **last}
    if method == "choice_logprobs":
        return SamplingParams(logprob_token_ids=list(prompt.detail), **one)
    return SamplingParams(prompt_logprobs=0, **one)  # the one token sampled is thrown away


def _answer(method: Method, prompt: Prompt, output: Any) -> Completion | list[float]:
    if method == "complete":
        best = output.outputs[0]
        return Completion(
            text=best.text,
            finish_reason=best.finish_reason or "stop",
            n_tokens=len(best.token_ids),
            sum_logprob=float(best.cumulative_logprob or 0.0),
        )
    if method == "choice_logprobs":
        found = output.outputs[0].logprobs[0]
        return [float(found[token].logprob) for token in prompt.detail]
    start = prompt.detail
    positions = zip(prompt.token_ids[start:], output.prompt_logprobs[start:], strict=True)
    return [float(position[token].logprob) for token, position in positions]
