"""The default engine: vLLM, on a GPU or on CPUs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from humpback_pipeline.generation.engine import (
    Generation,
    GenerationRequest,
    LikelihoodRequest,
)
from humpback_pipeline.generation.fitting import FittedAnswer, FittedPrompt, PromptFitter
from humpback_pipeline.generation.probabilities import normalise_choices
from humpback_pipeline.generation.streamed_answers import StreamedAnswers
from humpback_pipeline.generation.streaming import (
    Feed,
    MappedFeed,
    Stream,
    Task,
)
from humpback_pipeline.generation.vllm_core import VllmCore, VllmModel
from humpback_pipeline.generation.vllm_stream import Completion, Prompt
from humpback_pipeline.recipe import GenerationRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe

if TYPE_CHECKING:
    from humpback_pipeline.generation.devices import EngineSlot


class VllmGenerator(StreamedAnswers):
    """A TextGenerator on vLLM. `folder` is a full model or an adapter.

    With `generation.vllm.own_process`, and beside other slots, the engine is a child process that
    ends with `close`, and with this process; `pid` is the process it runs in. `batch_fraction`: see
    `VllmCore`. Raises GenerationError or BaseModelError.
    """

    def __init__(
        self,
        folder: Path,
        settings: GenerationRecipe,
        *,
        cache_dir: Path | None = None,
        devices: EngineSlot | None = None,
        batch_fraction: float = 1.0,
    ) -> None:
        from humpback_pipeline.models import load_tokenizer

        vllm = settings.vllm
        self.name = f"vllm:{folder.name}"
        self.model_hash = served_hash(folder, cache_dir)
        self._seed = settings.seed
        model = _vllm_model(folder, vllm.adapters, cache_dir)
        self._fitter = PromptFitter(load_tokenizer(folder), vllm.max_model_tokens)
        if vllm.own_process or (devices is not None and not devices.alone):
            from humpback_pipeline.generation.vllm_process import VllmProcess

            self._core: VllmCore | VllmProcess = VllmProcess(
                model, vllm, settings.seed, batch_fraction, devices
            )
            self.pid = self._core.pid
        else:
            self._core = VllmCore(model, vllm, settings.seed, batch_fraction)
            self.pid = os.getpid()

    @property
    def n_truncated(self) -> int:
        """Prompts cut to fit so far."""
        return self._fitter.n_cut

    @property
    def identity(self) -> dict[str, str | int]:
        """What shapes answers besides the request."""
        return {
            "engine": "vllm",
            "model": self.model_hash,
            "max_model_tokens": self._fitter.max_model_tokens,
            "seed": self._seed,
        }

    def stream(self, task: Task, feed: Feed[Any]) -> Stream:
        """See StreamingEngine."""
        if task.method == "generate":
            return self._stream_generate(feed, *task.arguments)
        if task.method == "choose":
            return self._stream_choose(feed, *task.arguments)
        return self._stream_likelihoods(feed)

    def _stream_generate(self, feed: Feed[GenerationRequest], sampling: SamplingRecipe) -> Stream:
        asked: dict[int, tuple[GenerationRequest, FittedPrompt]] = {}

        def fit(i: int, request: GenerationRequest) -> Prompt:
            prompt = self._fitter.fit(request, sampling.max_new_tokens)
            asked[i] = (request, prompt)
            return Prompt(prompt.token_ids, list(request.stop))

        for finished in self._core.stream("complete", MappedFeed(feed, fit), sampling):
            yield [(i, _generation(*asked.pop(i), completion)) for i, completion in finished]

    def _stream_choose(self, feed: Feed[GenerationRequest], choices: tuple[str, ...]) -> Stream:
        asked: dict[int, tuple[str, bool]] = {}

        def fit(i: int, request: GenerationRequest) -> Prompt:
            spelled, token_ids = self._fitter.choice_request(request, choices)
            prompt = self._fitter.fit(spelled, 1)
            asked[i] = (request.request_id, prompt.cut)
            return Prompt(prompt.token_ids, token_ids)

        for finished in self._core.stream("choice_logprobs", MappedFeed(feed, fit)):
            answers = []
            for i, logprobs in finished:
                request_id, cut = asked.pop(i)
                answers.append((i, normalise_choices(request_id, logprobs, cut)))
            yield answers

    def _stream_likelihoods(self, feed: Feed[LikelihoodRequest]) -> Stream:
        asked: dict[int, tuple[str, FittedAnswer]] = {}

        def fit(i: int, request: LikelihoodRequest) -> Prompt:
            fitted = self._fitter.fit_answer(request)
            asked[i] = (request.request_id, fitted)
            return Prompt(fitted.token_ids, fitted.start)

        for finished in self._core.stream("prompt_logprobs", MappedFeed(feed, fit)):
            answers = []
            for i, logprobs in finished:
                request_id, fitted = asked.pop(i)
                answers.append((i, fitted.likelihood(request_id, logprobs)))
            yield answers

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        self._core.close()


def _generation(
    request: GenerationRequest, prompt: FittedPrompt, completion: Completion
) -> Generation:
    n_tokens = completion.n_tokens
    return Generation(
        request_id=request.request_id,
        text=completion.text,
        finish_reason=completion.finish_reason,
        n_prompt_tokens=len(prompt.token_ids),
        n_tokens=n_tokens,
        mean_logprob=completion.sum_logprob / n_tokens if n_tokens else None,
        prompt_cut=prompt.cut,
    )


def served_hash(folder: Path, cache_dir: Path | None) -> str:
    """Content hash of what is served: of the model, or of adapter and base together."""
    from humpback_pipeline.models import adapter_base, default_cache_dir
    from humpback_pipeline.models.content import content_hash

    cache = (cache_dir or default_cache_dir()).absolute()
    base = adapter_base(folder, cache)
    own = content_hash(folder, cache)
    return own if base is None else f"{own}+{content_hash(base, cache)}"


def _vllm_model(folder: Path, adapters: str, cache_dir: Path | None) -> VllmModel:
    from humpback_pipeline.models import adapter_base, servable_directory

    base = adapter_base(folder, cache_dir)
    if base is None or adapters == "merge":
        return VllmModel(servable_directory(folder, cache_dir))
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    return VllmModel(base, adapter=folder, adapter_rank=int(config["r"]))
