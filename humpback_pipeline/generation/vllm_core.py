"""vLLM's engine in this process: token ids in, texts and probabilities out.

The engine runs inside whichever process starts it (vLLM's own engine processes outlive a killed
parent, and on a CPU start twice as slowly); `vllm_process` is what moves it into a child.
"""

from __future__ import annotations

import gc
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from humpback_pipeline.generation.engine import EngineDiedError, GenerationError
from humpback_pipeline.generation.memory import ran_out_of_memory
from humpback_pipeline.generation.streaming import Feed, Stream
from humpback_pipeline.generation.vllm_stream import Method, Prompt, run_stream
from humpback_pipeline.recipe import VllmRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
# Tokens that one step computes; vLLM's own default is this or twice as much.
STEP_TOKENS = 8_192
MIN_STEP_TOKENS = 512
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


class VllmCore:
    """A running engine. `batch_fraction`: of the tokens that one step computes by default.

    Raises GenerationError, naming what to change, if it does not start, and EngineDiedError if it
    does not for lack of memory.
    """

    def __init__(
        self, model: VllmModel, settings: VllmRecipe, seed: int, batch_fraction: float = 1.0
    ) -> None:
        self._model = model
        with _start_up():
            try:
                self._llm: Any = _start(model, settings, seed, batch_fraction)
            except Exception as error:
                kind = EngineDiedError if ran_out_of_memory(error) else GenerationError
                raise kind(_explain(error, model.path)) from error

    def stream(
        self, method: Method, feed: Feed[Prompt], sampling: SamplingRecipe | None = None
    ) -> Stream:
        """Answers as they finish: `Completion`s or lists of log-probabilities."""
        if self._llm is None:
            raise GenerationError("this engine has been closed; open another one")
        lora = None
        if self._model.adapter is not None:
            from vllm.lora.request import LoRARequest

            lora = LoRARequest("adapter", 1, str(self._model.adapter))
        return run_stream(self._llm, method, feed, sampling, lora)

    def close(self) -> None:
        """Stop the engine and give back its memory, as far as one process can."""
        if self._llm is None:
            return
        from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

        self._llm.llm_engine.engine_core.shutdown()
        self._llm = None
        gc.collect()
        cleanup_dist_env_and_memory()


def _start(model: VllmModel, settings: VllmRecipe, seed: int, batch_fraction: float) -> Any:
    from vllm import LLM
    from vllm.platforms import current_platform

    options: dict[str, Any] = {}
    if current_platform.is_cpu():
        # The CPU's "GPU memory" would be a share of all RAM, claimed at once.
        options["kv_cache_memory_bytes"] = settings.cpu_kv_cache_gib << 30
    else:
        options["gpu_memory_utilization"] = settings.gpu_memory_fraction
    if batch_fraction < 1:
        least = max(MIN_STEP_TOKENS, settings.max_concurrent_sequences)
        options["max_num_batched_tokens"] = max(least, int(STEP_TOKENS * batch_fraction))
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
