"""Settings of the engines for the tiny model."""

from __future__ import annotations

from typing import Any

from tiny_models import WINDOW_TOKENS

from humpback_pipeline.generation import notebook_settings
from humpback_pipeline.recipe import GenerationRecipe


def tiny_settings(engine: str, **vllm: Any) -> GenerationRecipe:
    """Settings for the tiny model, with its window."""
    settings = notebook_settings()
    changed = {"max_model_tokens": WINDOW_TOKENS, "cpu_kv_cache_gib": 1, **vllm}
    return settings.model_copy(
        update={"engine": engine, "vllm": settings.vllm.model_copy(update=changed)}
    )
