"""Sections of a report that are tables, figures and sentences: made anywhere, shown alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import polars as pl
from pydantic import Field

from .report_record import ReportRecord

MAX_ROWS = 200
_MINUS = "−"


class Figure(ReportRecord):
    """A plot: PNG bytes, what it shows in words (the alt text), and a caption."""

    kind: Literal["figure"] = "figure"
    title: str = ""
    png: bytes
    alt: str = Field(min_length=1)
    caption: str | None = None


class Table(ReportRecord):
    """A table as people read it. is_text: for each column, whether it is left-aligned words.

    is_folded: a long one, to be opened by who wants it. Rows that begin with `paper` are shown
    apart from ours.
    """

    kind: Literal["table"] = "table"
    caption: str = ""
    columns: list[str]
    is_text: list[bool]
    rows: list[list[str]]
    n_left_out: int = 0
    is_folded: bool = False

    @classmethod
    def of(
        cls, frame: pl.DataFrame, caption: str = "", decimals: int = 2, *, is_folded: bool = False
    ) -> Table:
        """The first MAX_ROWS rows of a frame; floats with `decimals` digits, "–" for nothing."""
        shown = frame.head(MAX_ROWS)
        return cls(
            caption=caption,
            columns=[name.replace("_", " ") for name in frame.columns],
            is_text=[not dtype.is_numeric() for dtype in frame.dtypes],
            rows=[[_cell(value, decimals) for value in row] for row in shown.iter_rows()],
            n_left_out=frame.height - shown.height,
            is_folded=is_folded,
        )


class Note(ReportRecord):
    """A sentence or two. is_caution: something that limits what the figures say."""

    kind: Literal["note"] = "note"
    text: str
    is_caution: bool = False


class Samples(ReportRecord):
    """Texts to read, folded away: each a heading, and under it labelled texts."""

    kind: Literal["samples"] = "samples"
    title: str
    items: list[tuple[str, list[tuple[str, str]]]]


Block = Annotated[Figure | Table | Note | Samples, Field(discriminator="kind")]


class ReportSection(ReportRecord):
    """One section. after: id of the section that it follows."""

    id: str = Field(pattern=r"^[a-z][a-z0-9-]*$")
    title: str
    after: str
    lead: str = ""
    blocks: list[Block] = Field([])


def caution(text: str) -> Note:
    """A note of what limits the figures."""
    return Note(text=text, is_caution=True)


def table_of_rows(
    rows: Sequence[dict[str, Any]],
    caption: str = "",
    decimals: int = 2,
    *,
    is_folded: bool = False,
) -> Table | None:
    """A table of dicts; None of none."""
    if not rows:
        return None
    frame = pl.DataFrame(rows, infer_schema_length=None)
    return Table.of(frame, caption, decimals, is_folded=is_folded)


def _cell(value: Any, decimals: int) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}".replace("-", _MINUS)
    if isinstance(value, float):
        return f"{value:,.{decimals}f}".replace("-", _MINUS)
    return str(value)
