"""The three methods of TextGenerator, for engines that answer a stream."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    ClosesOnExit,
    Generation,
    GenerationRequest,
    Likelihood,
    LikelihoodRequest,
)
from humpback_pipeline.generation.streaming import Feed, ListFeed, Stream, Task
from humpback_pipeline.recipe_curation import SamplingRecipe


class StreamedAnswers(ClosesOnExit):
    """An engine that has only to say how it answers a stream."""

    @abstractmethod
    def stream(self, task: Task, feed: Feed[Any]) -> Stream:
        """See StreamingEngine."""

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingRecipe
    ) -> list[Generation]:
        """See TextGenerator."""
        return self._answers(Task("generate", (sampling,)), requests)

    def choose(
        self, requests: Sequence[GenerationRequest], choices: tuple[str, ...]
    ) -> list[ChoiceProbabilities]:
        """See TextGenerator."""
        return self._answers(Task("choose", (choices,)), requests)

    def likelihoods(self, requests: Sequence[LikelihoodRequest]) -> list[Likelihood]:
        """See TextGenerator."""
        return self._answers(Task("likelihoods"), requests)

    def _answers(self, task: Task, requests: Sequence[Any]) -> list[Any]:
        answers: dict[int, Any] = {}
        for finished in self.stream(task, ListFeed(requests)):
            answers.update(finished)
        return [answers[i] for i in range(len(requests))]
