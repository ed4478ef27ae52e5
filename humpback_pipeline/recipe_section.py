"""What every part of a recipe has in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of the recipe: immutable, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
