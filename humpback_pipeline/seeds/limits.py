"""Bounds on what is read, so that no file can exhaust memory; a seed set is thousands of pairs."""

from __future__ import annotations

from pathlib import Path

from humpback_pipeline.seeds.records import SeedDataError

MAX_LINE_BYTES = 8 << 20
"""Of one JSON line. A whole conversation tree is well under one MiB."""

MAX_JSON_BYTES = 64 << 20
"""Of one JSON document (not lines), which is held in memory as text."""

MAX_TOTAL_BYTES = 2 << 30
"""Of all files together, decompressed."""

PARQUET_BATCH_ROWS = 64
"""Rows decoded at a time."""

MAX_BAD_RECORDS_KEPT = 100
"""Bad records kept for inspection; all are counted."""


class ByteBudget:
    """Counts decompressed bytes over all files of one read and refuses more than `limit_bytes`."""

    def __init__(self, limit_bytes: int = MAX_TOTAL_BYTES) -> None:
        self.limit_bytes = limit_bytes
        self.left_bytes = limit_bytes

    def spend(self, n_bytes: int, file: Path, line: int = 1) -> None:
        """Take `n_bytes` off the budget; raises SeedDataError when it is used up."""
        self.left_bytes -= n_bytes
        if self.left_bytes < 0:
            raise SeedDataError(
                f"{file}, record {line}: the data exceed {self.limit_bytes:,} bytes when "
                "decompressed. Remedy: seed data are a few thousand pairs; give a sample of them."
            )
