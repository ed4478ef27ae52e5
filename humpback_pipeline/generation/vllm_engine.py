"""The default engine: vLLM, on a GPU or on CPUs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    ClosesOnExit,
    Generation,
    GenerationRequest,
)
from humpback_pipeline.generation.fitting import PromptFitter
from humpback_pipeline.generation.probabilities import normalise_choices
from humpback_pipeline.generation.vllm_core import VllmCore, VllmModel
from humpback_pipeline.recipe import GenerationRecipe, SamplingRecipe

if TYPE_CHECKING:
    from humpback_pipeline.generation.devices import EngineSlot


class VllmGenerator(ClosesOnExit):
    """A TextGenerator on vLLM. `folder` is a full model or an adapter.

    With `generation.vllm.own_process`, and beside other slots, the engine is a child process that
    ends with `close`, and with this process. Raises GenerationError or BaseModelError.
    """

    def __init__(
        self,
        folder: Path,
        settings: GenerationRecipe,
        *,
        cache_dir: Path | None = None,
        devices: EngineSlot | None = None,
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

            self._core: VllmCore | VllmProcess = VllmProcess(model, vllm, settings.seed, devices)
        else:
            self._core = VllmCore(model, vllm, settings.seed)

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

    def generate(
        self, requests: Sequence[GenerationRequest], sampling: SamplingRecipe
    ) -> list[Generation]:
        """See TextGenerator."""
        prompts = [self._fitter.fit(request, sampling.max_new_tokens) for request in requests]
        completions = self._core.complete([prompt.token_ids for prompt in prompts], sampling)
        return [
            Generation(
                request_id=request.request_id,
                text=completion.text,
                finish_reason=completion.finish_reason,
                n_prompt_tokens=len(prompt.token_ids),
                n_tokens=completion.n_tokens,
                mean_logprob=completion.sum_logprob / completion.n_tokens
                if completion.n_tokens
                else None,
                prompt_cut=prompt.cut,
            )
            for request, prompt, completion in zip(requests, prompts, completions, strict=True)
        ]

    def choose(
        self, requests: Sequence[GenerationRequest], choices: tuple[str, ...]
    ) -> list[ChoiceProbabilities]:
        """See TextGenerator."""
        asked = [self._fitter.choice_request(request, choices) for request in requests]
        prompts = [self._fitter.fit(request, 1) for request, _ in asked]
        logprobs = self._core.choice_logprobs(
            [prompt.token_ids for prompt in prompts], [ids for _, ids in asked]
        )
        return [
            normalise_choices(request.request_id, values, prompt.cut)
            for request, prompt, values in zip(requests, prompts, logprobs, strict=True)
        ]

    def close(self) -> None:
        """Stop the engine and give its memory back."""
        self._core.close()


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
