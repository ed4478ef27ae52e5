"""Part of the recipe about a server of an OpenAI-compatible API."""

from __future__ import annotations

from pydantic import Field

from humpback_pipeline.recipe_operations import ENVIRONMENT_NAME
from humpback_pipeline.recipe_section import Section


class EndpointRecipe(Section):
    """An OpenAI-compatible server such as `vllm serve`."""

    base_url: str = Field(pattern=r"^https?://[^\s@?#]+$")
    api_key_variable: str | None = Field(
        None, pattern=ENVIRONMENT_NAME, description="Name of the environment variable."
    )
    timeout_s: float = Field(120.0, gt=0)
    max_concurrent_requests: int = Field(16, ge=1)
    max_retries: int = Field(5, ge=0)
