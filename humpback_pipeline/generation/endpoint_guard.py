"""Tells a server that refuses whatever it is asked from one that refuses some requests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from humpback_pipeline.chat import Message
from humpback_pipeline.generation.endpoint_errors import RefusedError
from humpback_pipeline.generation.engine import GenerationRequest, LikelihoodRequest
from humpback_pipeline.generation.streaming import Finished, Task

MAX_REFUSED_AT_FIRST = 20


class RefusalGuard:
    """Counts one method's answers and refusals on one engine. Raises RefusedError.

    By method, as a server may well generate and yet refuse every request for candidates. probe:
    whether the server answers a request of that kind with next to nothing in it; the longest are
    asked first, and all of those may be too long for it.
    """

    def __init__(self, base_url: str, probe: Callable[[], bool]) -> None:
        self._base_url = base_url
        self._probe = probe
        self._n_refused = 0
        self._reason = ""
        self.has_answered = False

    def count(self, finished: Finished) -> None:
        """Note what has finished; raises if the first 20 and the probe have all been refused."""
        for _, answer in finished:
            if answer.error is None:
                self.has_answered = True
            else:
                self._n_refused += 1
                self._reason = answer.error
        self._check(MAX_REFUSED_AT_FIRST)

    def end(self) -> None:
        """To be called when no request is left; raises if all were refused, and the probe."""
        self._check(1)

    def _check(self, most: int) -> None:
        if self.has_answered or self._n_refused < most:
            return
        if self._probe():
            self.has_answered = True
            return
        raise RefusedError(
            f"{self._base_url} refused the first {self._n_refused} requests of their kind and has "
            f"answered none, so it is not they that are wrong: {self._reason}\n"
            "Correct the section generation.endpoint, or the model's limits on the server."
        )


def answers_probe(ask: Callable[[Any], Any], task: Task) -> bool:
    """Whether `ask` gets an answer to the smallest request of this task."""
    messages: list[Message] = [{"role": "user", "content": "Hi"}]
    likelihoods = task.method == "likelihoods"
    request: LikelihoodRequest | GenerationRequest = (
        LikelihoodRequest("probe", messages, "Hello.")
        if likelihoods
        else GenerationRequest("probe", messages)
    )
    return ask(request).error is None
