"""Base models, tokenizers and adapters: from what a recipe names to directories that load."""

from humpback_pipeline.models.adapters import adapter_base, servable_directory
from humpback_pipeline.models.base import (
    BaseModel,
    default_cache_dir,
    fetch_directory,
    resolve_base_model,
)
from humpback_pipeline.models.checks import CheckedModel, check_base_model
from humpback_pipeline.models.content import content_hash
from humpback_pipeline.models.errors import BaseModelError
from humpback_pipeline.models.known_config import known_config
from humpback_pipeline.models.loading import load_causal_lm, load_tokenizer

__all__ = [
    "BaseModel",
    "BaseModelError",
    "CheckedModel",
    "adapter_base",
    "check_base_model",
    "content_hash",
    "default_cache_dir",
    "fetch_directory",
    "known_config",
    "load_causal_lm",
    "load_tokenizer",
    "resolve_base_model",
    "servable_directory",
]
