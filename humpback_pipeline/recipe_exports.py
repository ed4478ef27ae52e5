"""Part of the recipe about what leaves the project: exports, cards, and pushing to a hub."""

from __future__ import annotations

from humpback_pipeline.recipe_section import Section


class ExportsRecipe(Section):
    """Formats of the curated sets for other tools."""
