"""Seed pairs as a table."""

from __future__ import annotations

from collections.abc import Iterable

import polars as pl

from humpback_pipeline.seeds.records import SeedPair

SEED_SCHEMA: dict[str, type[pl.DataType]] = {
    "pair_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "source": pl.String,
    "split": pl.String,
}


def seed_frame(pairs: Iterable[SeedPair]) -> pl.DataFrame:
    """Return the pairs as a DataFrame of SEED_SCHEMA: pair_id, instruction, output, source, split.

    The texts are strings in characters as read; an empty list gives an empty table.
    """
    rows = [(p.pair_id, p.instruction, p.output, p.source, p.split) for p in pairs]
    return pl.DataFrame(rows, schema=SEED_SCHEMA, orient="row")
