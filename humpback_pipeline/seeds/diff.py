"""What an edit of the seed data did: pairs added, removed and changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import polars as pl

from humpback_pipeline.seeds.records import SeedPair
from humpback_pipeline.seeds.text import content_id

SNAPSHOT_SCHEMA: dict[str, type[pl.DataType]] = {
    "pair_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "instruction_id": pl.String,
    "output_id": pl.String,
}
Change = Literal["added", "removed", "changed"]
_IDS = ("pair_id", "instruction_id", "output_id")


@dataclass(frozen=True, slots=True)
class PairChange:
    """One pair of a diff: its (instruction, output) before and after; None where it was not."""

    change: Change
    before: tuple[str, str] | None
    after: tuple[str, str] | None


@dataclass(frozen=True, slots=True)
class SeedDiff:
    """Numbers of pairs, and the first few of each kind.

    A changed pair has the same normalised instruction with another output, or the same output with
    another instruction; it counts neither as added nor as removed.
    """

    added: int
    removed: int
    changed: int
    samples: list[PairChange]


def snapshot_frame(pairs: Iterable[SeedPair]) -> pl.DataFrame:
    """Return the pairs as a table of SNAPSHOT_SCHEMA: texts, and ids of the normalised texts."""
    rows = [
        (
            pair.pair_id,
            pair.instruction,
            pair.output,
            content_id("instruction", pair.instruction),
            content_id("output", pair.output),
        )
        for pair in pairs
    ]
    return pl.DataFrame(rows, schema=SNAPSHOT_SCHEMA, orient="row")


def diff_pairs(before: pl.LazyFrame, after: pl.LazyFrame, n_samples: int = 5) -> SeedDiff:
    """Compare two snapshots (SNAPSHOT_SCHEMA, `pair_id` unique in each).

    Only ids are held in memory, and the texts of the samples. A pair is matched to at most one
    other, in the order of pair ids, so the result does not depend on the order of the rows.
    """
    old, new = (frame.select(_IDS).collect() for frame in (before, after))
    removed = old.join(new, on="pair_id", how="anti").sort("pair_id")
    added = new.join(old, on="pair_id", how="anti").sort("pair_id")
    matches = []
    for key in ("instruction_id", "output_id"):
        matched = _match(removed, added, key)
        matches.append(matched)
        removed = removed.join(matched, left_on="pair_id", right_on="before", how="anti")
        added = added.join(matched, left_on="pair_id", right_on="after", how="anti")
    changed = pl.concat(matches)
    return SeedDiff(
        added.height,
        removed.height,
        changed.height,
        [
            *_samples("changed", before, after, changed.head(n_samples).rows()),
            *_samples("added", before, after, [(None, i) for i in added["pair_id"][:n_samples]]),
            *_samples(
                "removed", before, after, [(i, None) for i in removed["pair_id"][:n_samples]]
            ),
        ],
    )


def _match(removed: pl.DataFrame, added: pl.DataFrame, key: str) -> pl.DataFrame:
    """Pairs of (before, after) that share `key`, the first with the first and so on."""
    # Sorted by pair id here, as what a join returns is in no particular order.
    old, new = (
        frame.sort("pair_id").select(key, "pair_id", n=pl.int_range(pl.len()).over(key))
        for frame in (removed, added)
    )
    joined = old.join(new, on=[key, "n"], how="inner", suffix="_after")
    return joined.select(before="pair_id", after="pair_id_after").sort("before")


def _samples(
    change: Change,
    before: pl.LazyFrame,
    after: pl.LazyFrame,
    ids: Iterable[tuple[str | None, str | None]],
) -> list[PairChange]:
    ids = list(ids)
    old = _texts(before, [i for i, _ in ids if i is not None])
    new = _texts(after, [i for _, i in ids if i is not None])
    return [
        PairChange(change, old[i] if i is not None else None, new[j] if j is not None else None)
        for i, j in ids
    ]


def _texts(frame: pl.LazyFrame, ids: list[str]) -> dict[str, tuple[str, str]]:
    if not ids:
        return {}
    found = frame.filter(pl.col("pair_id").is_in(ids))
    rows = found.select("pair_id", "instruction", "output").collect().iter_rows()
    return {pair_id: (instruction, output) for pair_id, instruction, output in rows}
