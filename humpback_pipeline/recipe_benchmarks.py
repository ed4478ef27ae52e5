"""Part of the recipe about benchmarks (lm-evaluation-harness) and safety."""

from __future__ import annotations

from humpback_pipeline.recipe_section import Section


class BenchmarksRecipe(Section):
    """Tasks of lm-evaluation-harness for every model."""


class SafetyRecipe(Section):
    """Prompts that ask for harm, answered under S_a, S_w and both (paper section 3.6)."""
