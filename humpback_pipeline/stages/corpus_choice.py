"""What became of every segment of the corpus, in columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from humpback_pipeline.text.stable_hash import Hashes, Indices
from humpback_pipeline.web.duplicate_finder import DUPLICATE_REASONS, Duplicates
from humpback_pipeline.web.selection import SAMPLE_REASONS, draws_of, sample_rows

CONTAMINATED = "contaminated"
# One code for each reason: selected, the duplicates', the sample's, contamination.
REASONS = (*DUPLICATE_REASONS, *SAMPLE_REASONS[1:], CONTAMINATED)
_N_DUPLICATE = len(DUPLICATE_REASONS)
SELECTION_SCHEMA = {
    "segment_id": pl.String,
    "shard": pl.String,
    "kept": pl.Boolean,
    "reason": pl.String,
    "duplicate_of": pl.String,
}


@dataclass(frozen=True, eq=False)
class CorpusChoice:
    """Each segment's reason (code of REASONS), keeper (row) and draw, by row.

    shard_rows: shard → its number of rows, in the order of rows.
    """

    segment_ids: pl.Series
    shard_rows: dict[str, int]
    reasons: NDArray[np.uint8]
    keepers: Indices
    draws: Hashes

    @property
    def counts(self) -> dict[str, int]:
        """Reason → segments, for the reasons that occur."""
        counted = np.bincount(self.reasons, minlength=len(REASONS)).tolist()
        return {REASONS[code]: n for code, n in enumerate(counted) if n}

    @property
    def selected_by_shard(self) -> dict[str, int]:
        """Shard → segments selected, for the shards with any."""
        selected = {
            shard: int((self.reasons[rows] == 0).sum()) for shard, rows in self._slices().items()
        }
        return {shard: n for shard, n in selected.items() if n}

    def first_drawn(self, reason: str, n: int) -> list[int]:
        """Up to `n` rows of one reason, lowest draw first: the same few of the same corpus."""
        rows = np.flatnonzero(self.reasons == REASONS.index(reason))
        return [int(row) for row in rows[np.argsort(self.draws[rows], kind="stable")[:n]]]

    def place(self, row: int) -> tuple[str, int]:
        """Shard of a row, and its number there."""
        for shard, rows in self._slices().items():
            if row < rows.stop:
                return shard, row - rows.start
        raise IndexError(row)

    def frames(self) -> Iterator[pl.DataFrame]:
        """Rows of SELECTION_SCHEMA, one frame a shard."""
        names = pl.Series(REASONS, dtype=pl.String)
        for shard, rows in self._slices().items():
            codes = pl.Series(self.reasons[rows])
            keepers = self.segment_ids.gather(self.keepers[rows])
            yield pl.DataFrame({"segment_id": self.segment_ids[rows]}).select(
                "segment_id",
                pl.lit(shard).alias("shard"),
                (codes == 0).alias("kept"),
                names.gather(codes).alias("reason"),
                pl.when(codes.is_between(1, _N_DUPLICATE - 1)).then(keepers).alias("duplicate_of"),
            )

    def _slices(self) -> dict[str, slice]:
        ends = np.cumsum([0, *self.shard_rows.values()]).tolist()
        pairs = zip(self.shard_rows, ends[:-1], ends[1:], strict=True)
        return {shard: slice(first, end) for shard, first, end in pairs}


def choose(
    segment_ids: pl.Series,
    shard_rows: dict[str, int],
    duplicates: Duplicates,
    contaminated: NDArray[np.bool_],
    hosts: Hashes | None,
    *,
    n: int,
    seed: int,
    max_per_host: int | None,
) -> CorpusChoice:
    """Draw the sample among the segments that are neither duplicates nor contaminated."""
    reasons = duplicates.reasons.copy()
    reasons[contaminated] = REASONS.index(CONTAMINATED)
    draws = draws_of(segment_ids, seed)
    # In the order of ids, so that equal draws fall the same way whatever the order of rows.
    free = duplicates.by_id[reasons[duplicates.by_id] == 0]
    codes = sample_rows(draws[free], None if hosts is None else hosts[free], n, max_per_host)
    reasons[free] = np.where(codes > 0, codes + np.uint8(_N_DUPLICATE - 1), 0)
    return CorpusChoice(segment_ids, shard_rows, reasons, duplicates.keepers, draws)
