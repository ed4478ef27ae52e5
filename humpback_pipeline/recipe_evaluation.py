"""Part of the recipe about what the models are measured on."""

from __future__ import annotations

from pydantic import Field, field_validator

from humpback_pipeline.recipe_benchmarks import BenchmarksRecipe, SafetyRecipe
from humpback_pipeline.recipe_curation import SamplingRecipe, ScorerName
from humpback_pipeline.recipe_human import HumanEvaluationRecipe
from humpback_pipeline.recipe_judge import JudgeRecipe
from humpback_pipeline.recipe_section import DataPath, Section


class EvaluationRecipe(Section):
    """What the models are measured on (paper section 3.4)."""

    prompts: DataPath = Field(description="Prompts with reference outputs (AlpacaEval's shape).")
    max_prompts: int | None = Field(None, ge=2, description="A standard error needs two.")
    labelled_pairs: DataPath = Field(description="Pairs labelled 1 (good) or 0, for selection.")
    scorers: tuple[ScorerName, ...] = Field(
        ("expected", "relevance", "completeness", "weakest_link", "combined", "calibrated"),
        description="Compared on the labelled pairs, beside the one that curation uses.",
    )
    hard_pairs: DataPath | None = Field(
        None, description="Labelled pairs with subtler flaws; reported beside, never fitted on."
    )
    preferences: DataPath | None = Field(
        None, description="Human or GPT-4 preferences (AlpacaEval's annotations) to agree with."
    )
    max_preferences: int = Field(200, ge=2, description="Of those, the first N by hash are rated.")
    sampling: SamplingRecipe = SamplingRecipe()
    judge: JudgeRecipe = JudgeRecipe()
    benchmarks: BenchmarksRecipe | None = None
    safety: SafetyRecipe | None = None
    human: HumanEvaluationRecipe = HumanEvaluationRecipe()

    @field_validator("judge", mode="before")
    @classmethod
    def _model_alone(cls, value: object) -> object:
        """Take a model's name alone for a local judge."""
        return {"model": value} if isinstance(value, str) else value
