"""Which versions of datasets hold some rows: lazy scans over many versions at once.

A whole version is read from its Parquet parts, one that gave up its data from its membership.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import polars as pl

from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.catalogue import distinct_contents
from humpback_pipeline.storage.retention import ID_COLUMNS, MARK_COLUMNS, MEMBERSHIP_NAME

FILES_PER_SCAN = 256
FILE_COLUMN = "__file"


def scan(artefact: Artefact) -> pl.LazyFrame:
    """Lazy rows of one version: all columns if it is whole, else those of its membership."""
    return pl.scan_parquet(files_of(artefact), glob=False)


def has_rows(artefact: Artefact) -> bool:
    """Whether it can be told which rows a version holds."""
    return artefact.kind == "dataset" and bool(files_of(artefact))


def available_columns(artefact: Artefact) -> list[str]:
    """Columns that can still be read of a dataset's version."""
    if artefact.is_whole:
        return list(artefact.columns)
    return [column for column in (*ID_COLUMNS, *MARK_COLUMNS) if column in artefact.columns]


def files_of(artefact: Artefact) -> list[Path]:
    """Parquet files that tell a version's rows."""
    if artefact.is_whole:
        return sorted(artefact.folder.glob("*.parquet"))
    membership = artefact.folder / MEMBERSHIP_NAME
    return [membership] if membership.is_file() else []


def count_rows(artefacts: Iterable[Artefact], condition: pl.Expr) -> dict[tuple[str, str], int]:
    """(key, content hash) → rows that meet `condition`, for versions that have such rows.

    Versions without the columns that `condition` names are left out.
    """
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for frame, owners in _scans(artefacts, condition):
        found = frame.filter(condition).group_by(FILE_COLUMN).len().collect(engine="streaming")
        for file, n_rows in found.iter_rows():
            counts[owners[file]] += n_rows
    return dict(counts)


def find_rows(
    artefacts: Iterable[Artefact], condition: pl.Expr, columns: Sequence[str], limit: int
) -> list[tuple[tuple[str, str], dict[str, object]]]:
    """((key, content hash), row) of rows that meet `condition`; at most `limit` of each scan.

    A row holds those of `columns` that its version has.
    """
    rows: list[tuple[tuple[str, str], dict[str, object]]] = []
    for frame, owners in _scans(artefacts, condition):
        present = [c for c in columns if c in frame.collect_schema().names()]
        found = frame.filter(condition).select(FILE_COLUMN, *present).head(limit)
        for row in found.collect(engine="streaming").iter_rows(named=True):
            rows.append((owners[row.pop(FILE_COLUMN)], row))
    return rows


def _scans(
    artefacts: Iterable[Artefact], condition: pl.Expr
) -> Iterator[tuple[pl.LazyFrame, dict[str, tuple[str, str]]]]:
    # Files of one scan must have one schema; a bounded number of them keeps memory bounded.
    needed = set(condition.meta.root_names())
    groups: dict[tuple[bool, tuple[tuple[str, str], ...]], list[Artefact]] = defaultdict(list)
    for artefact in distinct_contents(artefacts):
        if artefact.kind == "dataset" and needed <= set(available_columns(artefact)):
            groups[artefact.is_whole, tuple(artefact.columns.items())].append(artefact)
    for members in groups.values():
        owners = {str(file): (a.key, a.content_hash) for a in members for file in files_of(a)}
        files = list(owners)
        for start in range(0, len(files), FILES_PER_SCAN):
            batch = files[start : start + FILES_PER_SCAN]
            yield pl.scan_parquet(batch, glob=False, include_file_paths=FILE_COLUMN), owners
