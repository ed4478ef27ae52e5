"""Part of the recipe about who judges two answers against each other, and what that costs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from humpback_pipeline.recipe_endpoint import EndpointRecipe
from humpback_pipeline.recipe_section import Section


class JudgeRecipe(Section):
    """The judge of win rates, head-to-head comparisons, categories and safety."""

    engine: Literal["local", "endpoint"] = Field(
        "local", description="local: through generation's engine; endpoint: an OpenAI-like server."
    )
    model: str | None = Field(
        None,
        description="Local: a model as base_model takes it, empty: the base model. Endpoint: the "
        "name the server knows it by, empty: the only one it serves.",
    )
    endpoint: EndpointRecipe | None = None
    verdicts: Literal["probabilities", "choice"] = Field(
        "probabilities",
        description="Of an endpoint. probabilities: graded, from the answer's log-probabilities; "
        "choice: 1 or 2 as structured output, for servers without log-probabilities.",
    )
    usd_per_million_prompt_tokens: float | None = Field(
        None, ge=0, description="Price, for the costs on the page; empty: not known."
    )
    usd_per_million_completion_tokens: float | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _endpoint_given(self) -> JudgeRecipe:
        if self.engine == "endpoint" and self.endpoint is None:
            raise ValueError("judge 'endpoint' needs evaluation.judge.endpoint (base_url …)")
        if self.engine == "local" and self.endpoint is not None:
            raise ValueError("evaluation.judge.endpoint is only used with engine: endpoint")
        if self.engine == "local" and self.verdicts == "choice":
            raise ValueError("evaluation.judge.verdicts: choice is only used with engine: endpoint")
        return self
