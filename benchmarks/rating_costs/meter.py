"""What passes through a vLLM engine, counted from the outside: requests, steps, tokens, time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple


class Asked(NamedTuple):
    """One request as the engine got it; `parameters` is a vllm.SamplingParams."""

    token_ids: list[int]
    parameters: Any

    @property
    def samples_text(self) -> bool:
        """Whether more than one token is generated: text that later requests may depend on."""
        return bool(self.parameters.max_tokens > 1)


class Read(NamedTuple):
    """Tokens of one finished request; `cached` ones of its prompt came from the prefix cache."""

    prompt: int
    cached: int
    generated: int


@dataclass
class Metered:
    """One pass over the pairs.

    elapsed_s, cpu_s (of all threads of this process), step_s (in steps of the engine): seconds.
    in_steps: the requests in each step, added up. asked, read: in the order they came and finished.
    """

    elapsed_s: float = 0.0
    cpu_s: float = 0.0
    step_s: float = 0.0
    n_steps: int = 0
    in_steps: int = 0
    asked: list[Asked] = field(default_factory=list)
    read: list[Read] = field(default_factory=list)

    @property
    def idle(self) -> float:
        """Share of the time in which the engine was not in a step."""
        return 1.0 - self.step_s / self.elapsed_s

    def tokens(self, kind: str) -> int:
        """Sum over the finished requests of `prompt`, `cached` or `generated` tokens."""
        return sum(getattr(read, kind) for read in self.read)


def metered(llm: Any, work: Callable[[], object]) -> Metered:
    """Do `work` with the engine of a `vllm.LLM` that has nothing in its prefix cache."""
    if not llm.reset_prefix_cache():
        raise RuntimeError("vLLM did not empty its prefix cache")
    found = Metered()
    with _watched(llm.llm_engine, found):
        start, start_cpu = time.perf_counter(), time.process_time()
        work()
        found.elapsed_s = time.perf_counter() - start
        found.cpu_s = time.process_time() - start_cpu
    return found


def ask_directly(llm: Any, asked: list[Asked]) -> None:
    """The same prompts and parameters through `LLM.generate`: one call, or one before and one
    after texts are sampled that the rest is made of."""
    for _, same in groupby(asked, key=lambda one: one.samples_text):
        call = list(same)
        llm.generate(
            [{"prompt_token_ids": one.token_ids} for one in call],
            [one.parameters for one in call],
            use_tqdm=False,
        )


@contextmanager
def _watched(engine: Any, found: Metered) -> Iterator[None]:
    """Note every request and step of a vllm.LLMEngine, whoever drives it."""
    add_request, step = engine.add_request, engine.step
    scheduler = engine.engine_core.engine_core.scheduler

    def noted_request(
        request_id: str, prompt: Any, parameters: Any, *rest: Any, **more: Any
    ) -> Any:
        found.asked.append(Asked(list(prompt["prompt_token_ids"]), parameters))
        return add_request(request_id, prompt, parameters, *rest, **more)

    def noted_step() -> Any:
        start = time.perf_counter()
        outputs = step()
        found.step_s += time.perf_counter() - start
        found.n_steps += 1
        # Those that this step finished have left the scheduler.
        found.in_steps += len(scheduler.running) + sum(output.finished for output in outputs)
        found.read += [_read(output) for output in outputs if output.finished]
        return outputs

    engine.add_request, engine.step = noted_request, noted_step
    try:
        yield
    finally:
        del engine.add_request, engine.step  # the class's own show again


def _read(output: Any) -> Read:
    return Read(
        prompt=len(output.prompt_token_ids),
        cached=output.num_cached_tokens or 0,
        generated=sum(len(one.token_ids) for one in output.outputs),
    )


def shared_tokens(asked: list[Asked]) -> int:
    """How many first tokens all prompts have in common."""
    first, last = min(one.token_ids for one in asked), max(one.token_ids for one in asked)
    same = 0
    for one, other in zip(first, last, strict=False):
        if one != other:
            break
        same += 1
    return same
