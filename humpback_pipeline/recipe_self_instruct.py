"""Part of the recipe about self-instruct, the baseline that needs no corpus."""

from __future__ import annotations

from pydantic import Field, model_validator

from humpback_pipeline.recipe_curation import SamplingRecipe
from humpback_pipeline.recipe_section import DataPath, Section


class SelfInstructSettings(Section):
    """Self-Instruct (Wang et al., ACL 2023): the base model makes up instructions and outputs.

    Numbers that are not said otherwise are the paper's or those of its published code.
    """

    n_pairs: int = Field(1_000, ge=1, description="Pairs wanted; more are not asked for.")
    n_demonstrations: int = Field(
        8, ge=1, le=15, description="Tasks shown to the model in each prompt for new ones."
    )
    n_generated_demonstrations: int = Field(
        2, ge=0, description="Of these, earlier generated ones, once there are so many."
    )
    last_task_number: int = Field(
        16, ge=2, le=100, description="The list of tasks that the model continues ends here."
    )
    n_output_demonstrations: int = Field(
        3, ge=0, le=32, description="Seed pairs shown before an instruction to be answered."
    )
    sampling: SamplingRecipe = Field(SamplingRecipe(), description="Of new instructions.")
    output_sampling: SamplingRecipe = Field(SamplingRecipe(), description="Of their outputs.")
    rouge_l_max: float = Field(
        0.7, gt=0.0, le=1.0, description="An instruction as like one of the pool is dropped."
    )
    prompts_per_round: int = Field(32, ge=1, description="Prompts for new tasks in a round.")
    max_rounds: int = Field(100, ge=1)
    max_barren_rounds: int = Field(
        3, ge=1, description="So many rounds in a row without a new pair end the work."
    )
    min_words: int = Field(4, ge=1, description="Of an instruction; the code drops 3 and fewer.")
    max_words: int = Field(150, ge=1)
    seed: int = Field(0, ge=0, description="Which demonstrations are drawn.")
    instruction_prompt: DataPath = Field(
        "bundled:templates/self_instruct.txt",
        validate_default=True,
        description="Holds {tasks} at its end: the numbered list that the model continues.",
    )
    output_prompt: DataPath = Field(
        "bundled:templates/few_shot.txt",
        validate_default=True,
        description="Ends with one example: {instruction}, and {output} under another heading.",
    )

    @model_validator(mode="after")
    def _in_order(self) -> SelfInstructSettings:
        if self.last_task_number <= self.n_demonstrations:
            raise ValueError("last_task_number must be greater than n_demonstrations")
        if self.n_generated_demonstrations > self.n_demonstrations:
            raise ValueError("n_generated_demonstrations cannot exceed n_demonstrations")
        if self.max_words < self.min_words:
            raise ValueError("max_words must not be less than min_words")
        return self
