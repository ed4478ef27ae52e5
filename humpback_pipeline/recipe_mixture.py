"""Part of the recipe about what a training sees: seeds and curated pairs, and in which ratio."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from humpback_pipeline.recipe_section import Section

# What happens to an example over training.max_tokens.
OverLength = Literal["cut", "drop"]


class MixtureRecipe(Section):
    """Joint training (paper section 3.3): seeds tagged S_a, curated pairs tagged S_w.

    The paper uses every example alike, as the defaults do. Nothing is ever left out: the side that
    falls short of its share is repeated.
    """

    seed_share: float | None = Field(
        None, gt=0.0, lt=1.0, description="Of all examples used, how many are seeds; empty: as is."
    )
    seed_repeats: int = Field(
        1, ge=1, le=100, description="How often each seed is used in an epoch."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> MixtureRecipe:
        if self.seed_share is not None and self.seed_repeats != 1:
            raise ValueError("give seed_share or seed_repeats, not both")
        return self
