"""A sample of a large set that is the same on every machine and in whatever order rows come."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import polars as pl

from humpback_pipeline.text.stable_hash import string_hashes


def sample_by_hash(frames: Iterable[pl.DataFrame], id_column: str, n: int) -> pl.DataFrame:
    """The `n` rows whose ids have the lowest hashes, in that order; all rows if there are fewer.

    frames: parts of the set, with the column `id_column`; no more than one of them and 2 n rows are
    in memory at once. Who adds rows to a set sees most of the old sample again.
    """
    kept: pl.DataFrame | None = None
    for frame in frames:
        hashed = frame.with_columns(__hash=pl.Series(string_hashes(frame[id_column])))
        lowest = hashed.bottom_k(n, by="__hash") if hashed.height > n else hashed
        kept = lowest if kept is None else pl.concat([kept, lowest])
        if kept.height > n:
            kept = kept.bottom_k(n, by="__hash")
    if kept is None:
        return pl.DataFrame()
    order = np.lexsort((kept[id_column].to_numpy(), kept["__hash"].to_numpy()))
    return kept[order].drop("__hash")
