"""Sizes and lengths of the data sets, in the shape of the paper's data statistics table."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from .paper import PAPER_DATA_STATISTICS as PAPER_DATA_STATISTICS


def data_statistics(datasets: Mapping[str, pl.DataFrame | pl.LazyFrame]) -> pl.DataFrame:
    """Return one row a data set: examples, and mean ± sd of instruction and output lengths.

    datasets: name → frame with the string columns `instruction` and `output` (others are ignored;
        a lazy frame is scanned, never loaded whole).

    Columns returned: dataset, n_examples, instruction_chars_mean, instruction_chars_sd,
    output_chars_mean, output_chars_sd. Lengths are in Unicode characters; sd is the sample's
    (n − 1) and null below two examples; the means of an empty data set are null.

    Raises ValueError when a frame lacks a column. Source: paper, data statistics table, whose
    figures are `PAPER_DATA_STATISTICS`.
    """
    rows = [_statistics_row(name, frame.lazy()) for name, frame in datasets.items()]
    if not rows:
        return pl.DataFrame(schema=_SCHEMA)
    return pl.concat(rows).cast(pl.Schema(_SCHEMA))


_SCHEMA: dict[str, type[pl.DataType]] = {
    "dataset": pl.String,
    "n_examples": pl.Int64,
    "instruction_chars_mean": pl.Float64,
    "instruction_chars_sd": pl.Float64,
    "output_chars_mean": pl.Float64,
    "output_chars_sd": pl.Float64,
}


def _statistics_row(name: str, frame: pl.LazyFrame) -> pl.DataFrame:
    missing = {"instruction", "output"} - set(frame.collect_schema().names())
    if missing:
        raise ValueError(f"data_statistics: data set {name!r} lacks the columns {sorted(missing)}")
    lengths = [
        getattr(pl.col(column).cast(pl.String).str.len_chars(), function)().alias(
            f"{column}_chars_{suffix}"
        )
        for column in ("instruction", "output")
        for function, suffix in (("mean", "mean"), ("std", "sd"))
    ]
    return frame.select(
        pl.lit(name).alias("dataset"), pl.len().alias("n_examples"), *lengths
    ).collect()
