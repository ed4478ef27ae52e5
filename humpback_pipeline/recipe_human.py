"""Part of the recipe about evaluation by people."""

from __future__ import annotations

import re
from typing import Final

from pydantic import Field, field_validator

from humpback_pipeline.recipe_section import DataPath, Section

REFERENCE: Final = "reference"
FINAL: Final = "final"
_SIDE: Final = re.compile(r"final|reference|base|m\d+")


class HumanEvaluationRecipe(Section):
    """Blinded pairs for people to judge, and their judgements (paper section 3.4)."""

    comparisons: tuple[tuple[str, str], ...] = Field(
        ((FINAL, "m0"), (FINAL, REFERENCE)),
        min_length=1,
        description="Whose answers: base, m0, m1 …, final (the last model) or reference.",
    )
    n_pairs: int = Field(50, ge=1, description="Prompts of each comparison.")
    seed: int = Field(0, ge=0, description="Decides which prompts, and whose answer is first.")
    annotators_per_pair: int = Field(
        2, ge=1, description="Judgements wanted of each pair; agreement needs two."
    )
    judgements: DataPath | None = Field(
        None, description="Folder of finished judgements; empty: the home's own."
    )
    judge_draw_band: float = Field(
        0.1,
        ge=0.0,
        lt=0.5,
        description="The judge sees no difference where its preference is this close to 1.5.",
    )

    @field_validator("comparisons")
    @classmethod
    def _known_sides(cls, comparisons: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        for sides in comparisons:
            for side in sides:
                if not _SIDE.fullmatch(side):
                    raise ValueError(f"{side!r} is none of base, m0, m1 …, final, reference")
            if sides[0] == sides[1]:
                raise ValueError(f"{list(sides)} compares {sides[0]!r} with itself")
        return comparisons
