"""Tables as Markdown, for places that render it (Dagster's metadata panel)."""

from __future__ import annotations

import re
from typing import Any

import polars as pl

_ELLIPSIS = "…"
# Whatever Markdown or HTML could take for mark-up: crawled text must show as it is, and an image
# in it must not be loaded by whoever looks at the table. GitHub's dialect links bare addresses.
_SPECIAL = re.compile(r"://|www\.|[&<>@]|[\\`*_{}\[\]()#+!|~$]", re.IGNORECASE)
_ENTITIES = {
    "&": "&amp;",
    "<": "&lt;",
    ">": "&gt;",
    "@": "&#64;",
    "://": "&#58;//",
    "www.": "www&#46;",
}


def render_markdown_table(
    frame: pl.DataFrame, *, max_rows: int = 20, max_chars: int = 200, decimals: int = 3
) -> str:
    """Return a frame as a GitHub-style Markdown table.

    max_rows: rows shown; a last line says how many were left out. max_chars: longer cells are cut
    and end in "…". decimals: digits after the point for floating-point columns.

    Cells are made literal: pipes and Markdown marks are escaped, `&`, `<` and `>` become entities,
    line breaks become spaces. Nulls are empty. A frame without columns gives an empty string.
    """
    if not frame.columns:
        return ""
    lines = [
        _line([_escape(name, max_chars) for name in frame.columns]),
        _line(["---:" if dtype.is_numeric() else "---" for dtype in frame.dtypes]),
    ]
    for row in frame.head(max_rows).iter_rows():
        lines.append(_line([_cell(value, max_chars, decimals) for value in row]))
    n_left_out = frame.height - max_rows
    if n_left_out > 0:
        lines += ["", f"*{n_left_out:,} more rows not shown.*"]
    return "\n".join(lines)


def truncate_text(text: str, max_chars: int) -> str:
    """Return the text on one line, cut to `max_chars` characters with an ellipsis if longer."""
    flat = " ".join(text.split())
    return flat if len(flat) <= max_chars else flat[: max_chars - 1].rstrip() + _ELLIPSIS


def _cell(value: Any, max_chars: int, decimals: int) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.{decimals}f}"
    return _escape(str(value), max_chars)


def _escape(text: str, max_chars: int) -> str:
    return _SPECIAL.sub(_literal, truncate_text(text, max_chars))


def _literal(match: re.Match[str]) -> str:
    found = match.group(0)
    return _ENTITIES.get(found.lower(), "\\" + found)


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
