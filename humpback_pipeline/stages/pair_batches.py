"""Pairs of a dataset, a few thousand rows at a time, so that a large set never lies in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl
import pyarrow.parquet as pq

from humpback_pipeline.stages.workspace import Workspace

ROWS_AT_ONCE = 5_000


def pair_batches(
    workspace: Workspace,
    name: str,
    columns: Sequence[str],
    rows: int = ROWS_AT_ONCE,
    partition: str | None = None,
) -> Iterator[pl.DataFrame]:
    """Frames of `columns`, in the order of the dataset's current version.

    Raises NotMaterializedError.
    """
    folder = workspace.datasets.versions(name, partition).current()
    for path in sorted(folder.glob("*.parquet")):
        with pq.ParquetFile(path) as file:
            # pyarrow holds a row group at most while it reads; polars' streaming holds more.
            for batch in file.iter_batches(batch_size=rows, columns=list(columns)):
                frame = pl.from_arrow(batch)
                assert isinstance(frame, pl.DataFrame)
                yield frame.select(columns)
