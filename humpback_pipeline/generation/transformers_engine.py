"""The fallback engine, for where vLLM cannot be had: transformers' batched generation."""

from __future__ import annotations

import gc
import inspect
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    Generation,
    GenerationError,
    GenerationRequest,
    Likelihood,
    LikelihoodRequest,
)
from humpback_pipeline.generation.fitting import FittedAnswer, FittedPrompt, PromptFitter
from humpback_pipeline.generation.probabilities import normalise_choices
from humpback_pipeline.generation.seeds import request_seed
from humpback_pipeline.generation.streamed_answers import StreamedAnswers
from humpback_pipeline.generation.streaming import Feed, Stream, Task
from humpback_pipeline.generation.transformers_sampling import sample
from humpback_pipeline.generation.window import window_tokens
from humpback_pipeline.recipe import GenerationRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe

# Bounds a batch's memory: key-value cache and activations grow with it.
MAX_BATCH_TOKENS = 16_384


class TransformersGenerator(StreamedAnswers):
    """A TextGenerator on transformers: left-padded batches of prompts of like length.

    `generation.vllm.max_model_tokens` bounds the window here too, and so does the model's own
    limit. Adapters are merged into their base. `batch_fraction`: of the usual tokens in a batch.
    Raises BaseModelError.
    """

    def __init__(
        self,
        folder: Path,
        settings: GenerationRecipe,
        *,
        cache_dir: Path | None = None,
        batch_fraction: float = 1.0,
    ) -> None:
        from humpback_pipeline.generation.vllm_engine import served_hash
        from humpback_pipeline.models import load_causal_lm, load_tokenizer, servable_directory

        self.name = f"transformers:{folder.name}"
        self.model_hash = served_hash(folder, cache_dir)
        self._seed = settings.seed
        self._tokenizer = load_tokenizer(folder)
        self._model: Any = load_causal_lm(servable_directory(folder, cache_dir))
        limit = window_tokens(self._model.config, settings.vllm.max_model_tokens)
        self._fitter = PromptFitter(self._tokenizer, limit)
        self._batch_fraction = batch_fraction
        self.pid = os.getpid()
        self._max_sequences = settings.vllm.max_concurrent_sequences

    @property
    def n_truncated(self) -> int:
        """Prompts cut to fit so far."""
        return self._fitter.n_cut

    @property
    def identity(self) -> dict[str, str | int]:
        """What shapes answers besides the request."""
        return {
            "engine": "transformers",
            "model": self.model_hash,
            "max_model_tokens": self._fitter.max_model_tokens,
            "seed": self._seed,
        }

    def stream(self, task: Task, feed: Feed[Any]) -> Stream:
        """See StreamingEngine. Of all that may be begun, the longest prompts are answered next."""
        if task.method == "generate":
            (sampling,) = task.arguments
            return self._stream(
                feed,
                lambda request: self._fitter.fit(request, sampling.max_new_tokens),
                lambda asked: self._generate(asked, sampling),
                sampling.max_new_tokens,
            )
        if task.method == "choose":
            (choices,) = task.arguments
            return self._stream(
                feed,
                lambda request: self._fitter.fit(
                    self._fitter.choice_request(request, choices)[0], 1
                ),
                lambda asked: self._choose(asked, choices),
                1,
            )
        return self._stream(
            feed, self._fitter.fit_answer, self._likelihoods, 0, max_tokens=MAX_BATCH_TOKENS // 4
        )

    def _stream(
        self,
        feed: Feed[Any],
        fit: Callable[[Any], Any],
        answer: Callable[[list[tuple[Any, Any]]], list[Any]],
        new_tokens: int,
        max_tokens: int = MAX_BATCH_TOKENS,
    ) -> Stream:
        """Batches of prompts of like length, as large as `max_tokens` allows."""
        pool: list[tuple[int, Any, Any]] = []
        while True:
            taken = feed.take(sys.maxsize, idle=not pool)
            pool += [(i, request, fit(request)) for i, request in taken]
            if not pool:
                return
            pool.sort(key=lambda asked: -len(asked[2].token_ids))
            width = len(pool[0][2].token_ids) + new_tokens
            most = int(max_tokens * self._batch_fraction) // width
            n = max(1, min(self._max_sequences, most))
            batch, pool = pool[:n], pool[n:]
            answers = answer([(request, fitted) for _, request, fitted in batch])
            yield [(i, one) for (i, _, _), one in zip(batch, answers, strict=True)]

    def _generate(
        self, asked: list[tuple[GenerationRequest, FittedPrompt]], sampling: SamplingRecipe
    ) -> list[Generation]:
        inputs = self._padded([prompt.token_ids for _, prompt in asked])
        with self._seeded([request.request_id for request, _ in asked]):
            sampled = sample(self._loaded(), self._tokenizer, inputs, sampling)
        return [
            Generation(
                request_id=request.request_id,
                text=self._tokenizer.decode(ids, skip_special_tokens=True),
                finish_reason="stop" if ended else "length",
                n_prompt_tokens=len(prompt.token_ids),
                n_tokens=len(ids),
                mean_logprob=sum(logprobs) / len(logprobs) if logprobs else None,
                prompt_cut=prompt.cut,
            )
            for (request, prompt), (ids, logprobs, ended) in zip(asked, sampled, strict=True)
        ]

    def _choose(
        self, asked: list[tuple[GenerationRequest, FittedPrompt]], choices: tuple[str, ...]
    ) -> list[ChoiceProbabilities]:
        import torch

        inputs = self._padded([prompt.token_ids for _, prompt in asked])
        with torch.inference_mode():
            logits = self._loaded()(**inputs, **self._positions(inputs, last=1)).logits[:, -1]
        logprobs = logits.float().log_softmax(-1)
        answers = []
        for row, (request, prompt) in enumerate(asked):
            _, token_ids = self._fitter.choice_request(request, choices)
            values = logprobs[row, token_ids].tolist()
            answers.append(normalise_choices(request.request_id, values, prompt.cut))
        return answers

    def _likelihoods(self, asked: list[tuple[LikelihoodRequest, FittedAnswer]]) -> list[Likelihood]:
        import torch

        inputs = self._padded([fitted.token_ids for _, fitted in asked])
        with torch.inference_mode():
            logits = self._loaded()(**inputs, **self._positions(inputs)).logits
        answers = []
        for row, (request, fitted) in enumerate(asked):
            # Padding is on the left, so answers end at the right edge.
            ids = torch.tensor(fitted.token_ids[fitted.start :], device=logits.device)
            steps = logits[row, -len(ids) - 1 : -1].float().log_softmax(-1)
            values = steps.gather(1, ids[:, None]).squeeze(1).tolist()
            answers.append(fitted.likelihood(request.request_id, values))
        return answers

    def close(self) -> None:
        """Forget the model and give its memory back."""
        import torch

        self._model = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _loaded(self) -> Any:
        if self._model is None:
            raise GenerationError("this engine has been closed; open another one")
        return self._model

    def _padded(self, prompts: Sequence[list[int]]) -> dict[str, Any]:
        import torch

        width = max(len(ids) for ids in prompts)
        pad = self._tokenizer.pad_token_id
        rows = [[pad] * (width - len(ids)) + ids for ids in prompts]
        mask = [[0] * (width - len(ids)) + [1] * len(ids) for ids in prompts]
        device = self._loaded().device
        return {
            "input_ids": torch.tensor(rows, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }

    def _positions(self, inputs: dict[str, Any], last: int = 0) -> dict[str, Any]:
        """Positions that skip the padding, and logits of the last so many, where it knows them."""
        accepted = inspect.signature(self._loaded().forward).parameters
        positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        options = {"position_ids": positions, "logits_to_keep": last}
        return {name: value for name, value in options.items() if name in accepted}

    @contextmanager
    def _seeded(self, request_ids: Sequence[str]) -> Iterator[None]:
        """Seed a batch from the recipe's seed and what is asked, and leave the process's own alone.

        So the answers do not depend on what was asked before, or on another engine.
        """
        import torch

        with torch.random.fork_rng():
            torch.manual_seed(request_seed(self._seed, *request_ids))
            yield
