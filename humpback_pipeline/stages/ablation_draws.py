"""Random subsets that are the same everywhere, a smaller one always within a larger one."""

from __future__ import annotations

import numpy as np
import polars as pl

from humpback_pipeline.text.stable_hash import string_hashes


def draw_order(ids: pl.Series, seed: int) -> pl.Series:
    """A number in [0, 1) for each id, from a hash of it and of `seed`; lower ones come first."""
    named = pl.Series(ids.name, [f"{seed}\n{name}" for name in ids], dtype=pl.String)
    hashes = string_hashes(named)
    return pl.Series("draw", (hashes >> np.uint64(11)).astype(np.float64) / 2.0**53)


def draw(frame: pl.DataFrame, column: str, n: int | None, seed: int) -> pl.DataFrame:
    """The first `n` rows in the order of `draw_order`; all of them, in that order, for None."""
    ordered = frame.with_columns(draw_order(frame[column], seed)).sort("draw", column).drop("draw")
    return ordered.slice(0, n)
