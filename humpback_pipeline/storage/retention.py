"""What stays of a version whose data are given up: its manifest, and which rows it held.

A remnant is a folder `<artefact>/.remembered/<version>/` with the manifest, and for a dataset
`membership.parquet`, for a model its small text files. It is finished before the version's own
folder goes, so a kill in between leaves the whole version, and at no time neither.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl

from humpback_pipeline.storage.atomic import atomic_directory
from humpback_pipeline.storage.manifest import MANIFEST_NAME

REMEMBERED_DIR = ".remembered"
MEMBERSHIP_NAME = "membership.parquet"
# What names a row, and the marks that decide whether a row that is there was used at all: the
# held-out split of the seeds, the segments a selection passed over.
ID_COLUMNS = ("pair_id", "segment_id", "url")
MARK_COLUMNS = ("split", "kept", "shard", "reason")
MODEL_TEXTS = ("training.json", "config.json", "adapter_config.json", "*.md")
MAX_TEXT_BYTES = 2_000_000
STAMP_FORMAT = "%Y%m%dT%H%M%S%f"


def expired(
    history: Sequence[Path], current: str | None, keep: int, keep_days: float | None
) -> list[Path]:
    """Versions to give up, oldest first: neither current, nor newest `keep`, nor young.

    history: folders of all whole versions, oldest first.
    """
    newest = set(history[-keep:]) if keep > 0 else set()
    youngest = datetime.now(UTC) - timedelta(days=keep_days) if keep_days is not None else None
    return [
        folder
        for folder in history
        if folder.name != current
        and folder not in newest
        and (youngest is None or made_at(folder.name) <= youngest)
    ]


def made_at(version: str) -> datetime:
    """When a version was begun, from its name; one named otherwise counts as old."""
    stamp = version.split("-", 1)[0]
    try:
        return datetime.strptime(stamp, STAMP_FORMAT).replace(tzinfo=UTC)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)


def forget_data(folder: Path) -> Path:
    """Replace a whole version by its remnant; return the remnant's folder.

    Raises OSError or polars' errors if the data cannot be read; the version then stays whole.
    """
    target = folder.parent / REMEMBERED_DIR / folder.name
    if not target.exists():
        with atomic_directory(target) as remnant:
            shutil.copyfile(folder / MANIFEST_NAME, remnant / MANIFEST_NAME)
            _write_membership(sorted(folder.glob("*.parquet")), remnant / MEMBERSHIP_NAME)
            for path in _texts(folder):
                shutil.copyfile(path, remnant / path.name)
    # One rename takes the version away; removing its files may then be cut short without harm, and
    # what is left over has the name of a leftover.
    trash = folder.with_name(f".tmp-{folder.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}")
    folder.rename(trash)
    shutil.rmtree(trash, ignore_errors=True)
    return target


def remnants(folder: Path) -> list[Path]:
    """Folders of the remnants of an artefact, oldest first."""
    return sorted(path.parent for path in folder.glob(f"{REMEMBERED_DIR}/[0-9]*/{MANIFEST_NAME}"))


def is_remnant(folder: Path) -> bool:
    """Whether a version's folder holds its memory only."""
    return folder.parent.name == REMEMBERED_DIR


def _write_membership(parts: Sequence[Path], target: Path) -> None:
    if not parts:
        return
    frame = pl.scan_parquet(list(parts), glob=False)
    present = frame.collect_schema().names()
    if not set(present) & set(ID_COLUMNS):
        return
    columns = [column for column in (*ID_COLUMNS, *MARK_COLUMNS) if column in present]
    frame.select(columns).sink_parquet(target, compression="zstd")


def _texts(folder: Path) -> Iterable[Path]:
    for pattern in MODEL_TEXTS:
        for path in sorted(folder.glob(pattern)):
            if path.is_file() and path.stat().st_size <= MAX_TEXT_BYTES:
                yield path
