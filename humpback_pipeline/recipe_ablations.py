"""Part of the recipe about ablations: other models to train and judge, to see what matters."""

from __future__ import annotations

from humpback_pipeline.recipe_section import Section


class AblationsRecipe(Section):
    """Variants of the final model, each trained and judged as a partition of its own."""
