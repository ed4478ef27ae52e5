"""Part of the recipe about benchmarks (lm-evaluation-harness) and safety."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from humpback_pipeline.recipe_curation import SamplingRecipe
from humpback_pipeline.recipe_section import PACKAGE_DIR, DataPath, Section

TagName = Literal["seed", "web", "both"]


class BenchmarksRecipe(Section):
    """Tasks of lm-evaluation-harness for the base model and every M_t (paper section 3.6)."""

    tasks: tuple[str, ...] = Field(
        min_length=1,
        description="Names, groups (mmlu) or patterns (crows_pairs_english_*) that lm-eval knows.",
    )
    include_path: DataPath | None = Field(
        None, description="Folder with task files of your own (YAML, and the data beside them)."
    )
    limit: int | None = Field(None, ge=1, description="Questions a task; empty: all.")
    num_fewshot: int | None = Field(
        0, ge=0, description="Solved examples before each question; empty: the task's own number."
    )
    batch_size: int | Literal["auto"] = Field(8, description="auto: what fits a GPU's memory.")
    chat_template: bool = Field(
        False,
        description="Ask under the chat template and both system tags; the paper asks plainly.",
    )


class SafetyRecipe(Section):
    """Prompts that ask for harm, answered under S_a, S_w and both (paper section 3.6)."""

    prompts: DataPath = Field(
        PACKAGE_DIR / "examples" / "safety_prompts.jsonl",
        description="JSONL: instruction, category, harmful (false: a harmless look-alike).",
    )
    max_prompts: int | None = Field(None, ge=1, description="The first N; empty: all.")
    tags: tuple[TagName, ...] = Field(
        ("seed", "web", "both"), min_length=1, description="seed: S_a, web: S_w, both: as one."
    )
    sampling: SamplingRecipe = Field(
        SamplingRecipe(max_new_tokens=256), description="A refusal shows in its first sentences."
    )
