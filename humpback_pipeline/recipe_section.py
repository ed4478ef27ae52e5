"""What every part of a recipe has in common."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

PACKAGE_DIR = Path(__file__).parent
BUNDLED_PREFIX = "bundled:"
_URL: Final = re.compile(r"[a-z][a-z0-9+]*://", re.IGNORECASE)


def _expand_bundled(value: object) -> object:
    """Turn `bundled:NAME` into the path of a file shipped in `humpback_pipeline/examples`."""
    if isinstance(value, str) and value.startswith(BUNDLED_PREFIX):
        return PACKAGE_DIR / "examples" / value.removeprefix(BUNDLED_PREFIX)
    return value


def is_url(value: str) -> bool:
    """Tell whether a location is a URL, for fsspec to open, rather than a local path."""
    return bool(_URL.match(value))


def _local_or_url(value: object) -> object:
    """Leave a URL as text; everything else is a path."""
    if isinstance(value, str) and not is_url(value):
        return Path(str(_expand_bundled(value)))
    return value


DataPath = Annotated[Path, BeforeValidator(_expand_bundled)]
# A local folder, or a URL that fsspec can open.
CorpusLocation = Annotated[Path | str, BeforeValidator(_local_or_url)]
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of the recipe: immutable, and an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)
