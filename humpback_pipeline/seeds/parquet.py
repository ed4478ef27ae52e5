"""Parquet files as a stream of records, in small batches."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from humpback_pipeline.seeds.limits import PARQUET_BATCH_ROWS, ByteBudget
from humpback_pipeline.seeds.parsing import RawRecord
from humpback_pipeline.seeds.records import SeedDataError, describe_keys


def read_parquet(file: Path, budget: ByteBudget, columns: Collection[str]) -> Iterator[RawRecord]:
    """Yield the rows of a Parquet file as dicts of those of `columns` that it has.

    Raises SeedDataError: not Parquet, damaged, none of the columns, more than `budget` allows.
    """
    row = 0
    try:
        with pq.ParquetFile(file) as probe:
            schema = probe.schema_arrow
            wanted = [name for name in schema.names if name in columns]
            if not wanted:
                raise SeedDataError(
                    f"{file}: no column that holds a pair; found {describe_keys(schema.names)}. "
                    "Remedy: name the columns 'instruction' and 'output'."
                )
            # A dictionary-encoded column can repeat one huge string without end; kept encoded,
            # a batch of it costs one copy.
            encoded = [name for name in wanted if _is_text(schema.field(name).type)]
        with pq.ParquetFile(file, read_dictionary=encoded) as parquet:
            for batch in parquet.iter_batches(PARQUET_BATCH_ROWS, columns=wanted):
                for index in range(batch.num_rows):
                    row += 1
                    value = {name: batch.column(name)[index].as_py() for name in wanted}
                    budget.spend(_size(value), file, row)
                    yield RawRecord(row, value)
    # Broken thrift metadata surfaces as any of these.
    except (pa.ArrowException, OSError, ValueError, KeyError, IndexError, TypeError) as error:
        if isinstance(error, SeedDataError):
            raise
        detail = (str(error).splitlines() or [type(error).__name__])[0][:160]
        raise SeedDataError(
            f"{file}: not a readable Parquet file after row {row} ({detail!a}). "
            "Remedy: write the file again, or convert it to JSON Lines (.jsonl)."
        ) from error


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _size(value: Any) -> int:
    if isinstance(value, str | bytes):
        return len(value)
    if isinstance(value, dict):
        return sum(_size(item) for item in value.values())
    if isinstance(value, list):
        return sum(_size(item) for item in value)
    return 8
