"""vLLM's engine in this process: token ids in, texts and probabilities out.

The engine runs inside whichever process starts it (vLLM's own engine processes outlive a killed
parent, and on a CPU start twice as slowly); `vllm_process` is what moves it into a child.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humpback_pipeline.generation.engine import GenerationError
from humpback_pipeline.recipe import SamplingRecipe, VllmRecipe

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Read by vLLM while it starts. A value the user has set stands.
ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "TORCH_CPP_LOG_LEVEL": "ERROR",
    "TOKENIZERS_PARALLELISM": "false",
}


@dataclass(frozen=True)
class VllmModel:
    """What to serve: a model directory, and an adapter on it with its rank, or none."""

    path: Path
    adapter: Path | None = None
    adapter_rank: int = 0


@dataclass(frozen=True)
class Completion:
    """One sampled continuation; `sum_logprob` is under the model itself, before any sampling."""

    text: str
    finish_reason: str
    n_tokens: int
    sum_logprob: float


class VllmCore:
    """A running engine. Raises GenerationError, naming what to change, if it does not start."""

    def __init__(self, model: VllmModel, settings: VllmRecipe, seed: int) -> None:
        self._model = model
        with _start_up():
            try:
                self._llm: Any = _start(model, settings, seed)
            except Exception as error:
                raise GenerationError(_explain(error, model.path)) from error

    def complete(self, prompts: Sequence[list[int]], sampling: SamplingRecipe) -> list[Completion]:
        """Sample one continuation of each prompt."""
        from vllm import SamplingParams

        # No seed here: a request's own seed is more than the CPU engine can do (it dies of
        # "CPU Generator does not use offset"), so the engine as a whole is seeded.
        parameters = SamplingParams(
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            logprobs=0,
        )
        return [
            Completion(
                text=output.outputs[0].text,
                finish_reason=output.outputs[0].finish_reason or "stop",
                n_tokens=len(output.outputs[0].token_ids),
                sum_logprob=float(output.outputs[0].cumulative_logprob or 0.0),
            )
            for output in self._run(prompts, parameters)
        ]

    def choice_logprobs(
        self, prompts: Sequence[list[int]], token_ids: Sequence[list[int]]
    ) -> list[list[float]]:
        """Log-probability of each prompt's `token_ids` as its next token, in one step."""
        from vllm import SamplingParams

        parameters = [
            SamplingParams(temperature=0.0, max_tokens=1, detokenize=False, logprob_token_ids=ids)
            for ids in token_ids
        ]
        answers = []
        for ids, output in zip(token_ids, self._run(prompts, parameters), strict=True):
            found = output.outputs[0].logprobs[0]
            answers.append([float(found[token].logprob) for token in ids])
        return answers

    def close(self) -> None:
        """Stop the engine and give back its memory, as far as one process can."""
        if self._llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        gc.collect()
        cleanup_dist_env_and_memory()

    def _run(self, prompts: Sequence[list[int]], parameters: Any) -> list[Any]:
        if self._llm is None:
            raise GenerationError("this engine has been closed; open another one")
        if not prompts:
            return []
        lora = None
        if self._model.adapter is not None:
            from vllm.lora.request import LoRARequest

            lora = LoRARequest("adapter", 1, str(self._model.adapter))
        inputs = [{"prompt_token_ids": list(ids)} for ids in prompts]
        outputs = self._llm.generate(inputs, parameters, use_tqdm=False, lora_request=lora)
        return list(outputs)


def _start(model: VllmModel, settings: VllmRecipe, seed: int) -> Any:
    from vllm import LLM
    from vllm.platforms import current_platform

    options: dict[str, Any] = {}
    if current_platform.is_cpu():
        # The CPU's "GPU memory" would be a share of all RAM, claimed at once.
        options["kv_cache_memory_bytes"] = settings.cpu_kv_cache_gib << 30
    else:
        options["gpu_memory_utilization"] = settings.gpu_memory_fraction
    if model.adapter is not None:
        rank = next((size for size in LORA_RANKS if size >= model.adapter_rank), None)
        if rank is None:
            raise ValueError(
                f"adapter rank {model.adapter_rank} is over vLLM's {LORA_RANKS[-1]}; set "
                "generation.vllm.adapters: merge"
            )
        options |= {"enable_lora": True, "max_lora_rank": rank, "max_loras": 1}
    return LLM(
        str(model.path),
        tokenizer=str(model.path),
        seed=seed,
        max_model_len=settings.max_model_tokens,
        max_num_seqs=settings.max_concurrent_sequences,
        tensor_parallel_size=settings.tensor_parallel_size,
        enforce_eager=settings.enforce_eager,
        enable_prefix_caching=True,  # the rubric opens every rating prompt: computed once
        logprobs_mode="raw_logprobs",
        disable_log_stats=True,
        use_tqdm_on_load=False,
        **options,
    )


@contextmanager
def _start_up() -> Iterator[None]:
    """Quiet settings for the start, undone after it: nothing else in the process is touched."""
    wanted = {name: os.environ.get(name, value) for name, value in ENVIRONMENT.items()}
    before = dict(os.environ)
    os.environ.update(wanted, VLLM_ENABLE_V1_MULTIPROCESSING="0")
    set_num_threads: Any = None
    try:
        import torch

        set_num_threads = torch.set_num_threads
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if set_num_threads is not None:
            torch.set_num_threads = set_num_threads  # the CPU engine disables it for good
        os.environ.clear()
        os.environ.update(before)


def _explain(error: Exception, model: Path) -> str:
    text = str(error).strip() or type(error).__name__
    lower = text.lower()
    if isinstance(error, ImportError):
        remedy = (
            "Install it (pip install -e '.[cpu]', or '.[gpu]' on a machine with a GPU), or set "
            "generation.engine: transformers"
        )
    elif "max_model_len" in lower or "max_position_embeddings" in lower or "max seq len" in lower:
        remedy = "Lower generation.vllm.max_model_tokens to what the model takes"
    elif "memory" in lower:
        remedy = (
            "Free some memory, or lower generation.vllm.gpu_memory_fraction (GPU), "
            "cpu_kv_cache_gib (CPU), max_model_tokens or max_concurrent_sequences"
        )
    else:
        remedy = "Check the model directory and the section generation.vllm of the recipe"
    return f"vLLM could not start on {model}: {text}\n{remedy}."
