"""The fallback engine, for where vLLM cannot be had: transformers' batched generation."""

from __future__ import annotations

import gc
import hashlib
import inspect
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    ClosesOnExit,
    Generation,
    GenerationError,
    GenerationRequest,
)
from humpback_pipeline.generation.fitting import FittedPrompt, PromptFitter
from humpback_pipeline.generation.probabilities import normalise_choices
from humpback_pipeline.recipe import GenerationRecipe, SamplingRecipe

# Bounds a batch's memory: key-value cache and activations grow with it.
MAX_BATCH_TOKENS = 16_384


class TransformersGenerator(ClosesOnExit):
    """A TextGenerator on transformers: left-padded batches of prompts of like length.

    `generation.vllm.max_model_tokens` bounds the window here too, and so does the model's own
    limit. Adapters are merged into their base. Raises BaseModelError.
    """

    def __init__(
        self, folder: Path, settings: GenerationRecipe, *, cache_dir: Path | None = None
    ) -> None:
        from humpback_pipeline.generation.vllm_engine import served_hash
        from humpback_pipeline.models import load_causal_lm, load_tokenizer, servable_directory

        self.name = f"transformers:{folder.name}"
        self.model_hash = served_hash(folder, cache_dir)
        self._seed = settings.seed
        self._tokenizer = load_tokenizer(folder)
        self._model: Any = load_causal_lm(servable_directory(folder, cache_dir))
        window = getattr(self._model.config, "max_position_embeddings", None)
        limit = min(settings.vllm.max_model_tokens, window or settings.vllm.max_model_tokens)
        self._fitter = PromptFitter(self._tokenizer, limit)
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

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingRecipe
    ) -> list[Generation]:
        """See TextGenerator."""
        prompts = [self._fitter.fit(request, sampling.max_new_tokens) for request in requests]
        answers: dict[int, Generation] = {}
        with self._seeded(requests):
            for indices in self._batches(prompts, sampling.max_new_tokens):
                batch = [prompts[i] for i in indices]
                for i, (ids, logprobs, ended) in zip(
                    indices, self._sample(batch, sampling), strict=True
                ):
                    answers[i] = Generation(
                        request_id=requests[i].request_id,
                        text=self._tokenizer.decode(ids, skip_special_tokens=True),
                        finish_reason="stop" if ended else "length",
                        n_prompt_tokens=len(prompts[i].token_ids),
                        n_tokens=len(ids),
                        mean_logprob=sum(logprobs) / len(logprobs) if logprobs else None,
                        prompt_cut=prompts[i].cut,
                    )
        return [answers[i] for i in range(len(requests))]

    def choose(
        self, requests: Sequence[GenerationRequest], choices: tuple[str, ...]
    ) -> list[ChoiceProbabilities]:
        """See TextGenerator."""
        import torch

        asked = [self._fitter.choice_request(request, choices) for request in requests]
        prompts = [self._fitter.fit(request, 1) for request, _ in asked]
        answers: dict[int, ChoiceProbabilities] = {}
        for indices in self._batches(prompts, 1):
            inputs = self._padded([prompts[i] for i in indices])
            with torch.inference_mode():
                logits = self._loaded()(**inputs, **self._last_only(inputs)).logits[:, -1]
            logprobs = logits.float().log_softmax(-1)
            for row, i in enumerate(indices):
                values = logprobs[row, asked[i][1]].tolist()
                answers[i] = normalise_choices(requests[i].request_id, values, prompts[i].cut)
        return [answers[i] for i in range(len(requests))]

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

    def _sample(
        self, batch: Sequence[FittedPrompt], sampling: SamplingRecipe
    ) -> list[tuple[list[int], list[float], bool]]:
        """Token ids (end-of-turn included), their log-probabilities, and whether it ended."""
        import torch
        from transformers import GenerationConfig, LogitsProcessorList

        model = self._loaded()
        stop_ids = _stop_ids(model, self._tokenizer)
        recorder = _LogprobRecorder()
        warpers: dict[str, Any] = {"do_sample": False}
        if sampling.temperature > 0:
            warpers = {
                "do_sample": True,
                "temperature": sampling.temperature,
                "top_p": sampling.top_p,
                "top_k": 0,
            }
        inputs = self._padded(batch)
        with torch.inference_mode():
            sequences = model.generate(
                **inputs,
                generation_config=GenerationConfig(
                    max_new_tokens=sampling.max_new_tokens,
                    eos_token_id=stop_ids,
                    pad_token_id=self._tokenizer.pad_token_id,
                    repetition_penalty=1.0,  # some models bring their own, and it would apply
                    **warpers,
                ),
                logits_processor=LogitsProcessorList([recorder]),
            )
        recorder.record_last(sequences)
        answers = []
        for row, ids in enumerate(sequences[:, inputs["input_ids"].shape[1] :].tolist()):
            end = next((n + 1 for n, token in enumerate(ids) if token in stop_ids), None)
            n_tokens = end or len(ids)
            logprobs = [step[row] for step in recorder.logprobs[:n_tokens]]
            answers.append((ids[:n_tokens], logprobs, end is not None))
        return answers

    def _padded(self, batch: Sequence[FittedPrompt]) -> dict[str, Any]:
        import torch

        width = max(len(prompt.token_ids) for prompt in batch)
        pad = self._tokenizer.pad_token_id
        rows = [[pad] * (width - len(p.token_ids)) + p.token_ids for p in batch]
        mask = [[0] * (width - len(p.token_ids)) + [1] * len(p.token_ids) for p in batch]
        device = self._loaded().device
        return {
            "input_ids": torch.tensor(rows, device=device),
            "attention_mask": torch.tensor(mask, device=device),
        }

    def _last_only(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Positions that skip the padding, and logits of the last one only, where it knows them."""
        accepted = inspect.signature(self._loaded().forward).parameters
        positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        options = {"position_ids": positions, "logits_to_keep": 1}
        return {name: value for name, value in options.items() if name in accepted}

    def _batches(self, prompts: Sequence[FittedPrompt], new_tokens: int) -> Iterator[list[int]]:
        """Indices of prompts of like length, as many as `MAX_BATCH_TOKENS` allows."""
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i].token_ids))
        while order:
            width = len(prompts[order[0]].token_ids) + new_tokens
            n = max(1, min(self._max_sequences, MAX_BATCH_TOKENS // width))
            batch, order = order[:n], order[n:]
            yield batch

    @contextmanager
    def _seeded(self, requests: Sequence[GenerationRequest]) -> Iterator[None]:
        """Seed a call from the recipe's seed and what is asked, and leave the process's own alone.

        So the answers do not depend on what was asked before, or on another engine.
        """
        import torch

        asked = json.dumps([self._seed, *(request.request_id for request in requests)])
        digest = hashlib.sha256(asked.encode()).digest()
        with torch.random.fork_rng():
            torch.manual_seed(int.from_bytes(digest[:7], "big"))
            yield


class _LogprobRecorder:
    """Keeps each sampled token's log-probability as generation goes.

    transformers calls it with the raw logits, before temperature and nucleus sampling; asking for
    all scores instead would hold steps x batch x vocabulary numbers.
    """

    def __init__(self) -> None:
        self.logprobs: list[list[float]] = []
        self._last: Any = None

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.record_last(input_ids)
        self._last = scores.float().log_softmax(-1)
        return scores

    def record_last(self, input_ids: Any) -> None:
        """Log-probabilities of the newest tokens under the logits seen before them."""
        if self._last is not None:
            self.logprobs.append(self._last.gather(1, input_ids[:, -1:]).squeeze(1).tolist())


def _stop_ids(model: Any, tokenizer: Any) -> list[int]:
    configured = model.generation_config.eos_token_id
    ids = configured if isinstance(configured, list) else [configured]
    return sorted({token for token in (*ids, tokenizer.eos_token_id) if token is not None})
