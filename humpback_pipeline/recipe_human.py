"""Part of the recipe about evaluation by people."""

from __future__ import annotations

from humpback_pipeline.recipe_section import Section


class HumanEvaluationRecipe(Section):
    """Blinded pairs for people to judge, and their judgements (paper section 3.4)."""
