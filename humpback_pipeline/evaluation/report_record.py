"""What all values of a report have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class ReportRecord(BaseModel):
    """Immutable; an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
