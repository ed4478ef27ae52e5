"""DatasetStore: Parquet parts with a manifest, one folder a version."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from humpback_pipeline.storage.atomic import write_text_atomic
from humpback_pipeline.storage.manifest import (
    MANIFEST_NAME,
    Manifest,
    Provenance,
    hash_file,
    hash_files,
    inherit,
    utc_now,
)
from humpback_pipeline.storage.versions import Versions

MIN_FREE_BYTES = 200_000_000


class OutOfSpaceError(OSError):
    """The disk is too full to begin."""


@dataclass(frozen=True)
class DatasetStore:
    """Named datasets below `home/datasets`, each optionally partitioned.

    Rows are written as Parquet parts that are streamed, one frame at a time, so memory stays
    bounded; `scan` is lazy. `recipe_name` and `recipe_hash` go into every manifest.
    """

    home: Path
    recipe_name: str = ""
    recipe_hash: str = ""
    keep_versions: int = 3
    keep_days: float | None = None

    def versions(self, name: str, partition: str | None = None) -> Versions:
        """All versions of a dataset or of one of its partitions."""
        folder = self.home / "datasets" / name
        return Versions(
            folder / partition if partition else folder, self.keep_versions, self.keep_days
        )

    def write(
        self,
        name: str,
        frames: pl.DataFrame | Iterable[pl.DataFrame],
        *,
        schema: Mapping[str, pl.DataType | type[pl.DataType]],
        partition: str | None = None,
        inputs: Iterable[Manifest] = (),
        sources: Provenance | None = None,
        fingerprint: str = "",
        facts: Mapping[str, Any] | Callable[[], Mapping[str, Any]] | None = None,
    ) -> Manifest:
        """Write one version and make it current.

        `frames` may be a generator; `facts` may be a function, called once the frames are written,
        for counts known only then. Columns must be `schema`'s, which is checked for every frame.
        Raises OutOfSpaceError, or ValueError naming the column that differs.
        """
        check_free_space(self.home)
        inputs = list(inputs)
        pieces = [frames] if isinstance(frames, pl.DataFrame) else frames
        with self.versions(name, partition).new() as (version, folder):
            rows = _write_parts(folder, pieces, pl.Schema(schema), name)
            files = {path.name: hash_file(path) for path in sorted(folder.glob("*.parquet"))}
            manifest = Manifest(
                name=name,
                partition=partition,
                kind="dataset",
                version=version,
                content_hash=hash_files(files),
                rows=rows,
                columns={column: str(dtype) for column, dtype in pl.Schema(schema).items()},
                files=files,
                inputs={manifest.key: manifest.content_hash for manifest in inputs},
                provenance=inherit(inputs, sources),
                recipe_name=self.recipe_name,
                recipe_hash=self.recipe_hash,
                created=utc_now(),
                fingerprint=fingerprint,
                facts=dict((facts() if callable(facts) else facts) or {}),
            )
            write_text_atomic(folder / MANIFEST_NAME, manifest.model_dump_json(indent=2))
        return manifest

    def scan(self, name: str, partition: str | None = None) -> pl.LazyFrame:
        """Lazy frame over the current version. Raises NotMaterializedError."""
        folder = self.versions(name, partition).current()
        return pl.scan_parquet(sorted(folder.glob("*.parquet")), glob=False)

    def read(self, name: str, partition: str | None = None) -> pl.DataFrame:
        """The current version as a frame. Raises NotMaterializedError."""
        return self.scan(name, partition).collect()

    def manifest(self, name: str, partition: str | None = None) -> Manifest:
        """Manifest of the current version. Raises NotMaterializedError."""
        return self.versions(name, partition).manifest()

    def manifests(self, name: str, partitions: Iterable[str]) -> list[Manifest]:
        """Manifests of several partitions, in their order. Raises NotMaterializedError."""
        return [self.manifest(name, partition) for partition in partitions]

    def scan_partitions(self, name: str, partitions: Iterable[str]) -> pl.LazyFrame:
        """Lazy frame over several partitions, in their order. Raises NotMaterializedError."""
        return pl.concat([self.scan(name, partition) for partition in partitions])


def check_free_space(folder: Path, needed_bytes: int = MIN_FREE_BYTES) -> None:
    """Raise OutOfSpaceError unless `folder`'s disk has `needed_bytes` free."""
    existing = next(path for path in (folder, *folder.resolve().parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise OutOfSpaceError(
            f"{existing}: {free / 1e6:.0f} MB free, {needed_bytes / 1e6:.0f} MB needed; free some "
            "space or point HUMPBACK_HOME at another disk."
        )


def _write_parts(folder: Path, frames: Iterable[pl.DataFrame], schema: pl.Schema, name: str) -> int:
    rows = 0
    part = -1
    for part, frame in enumerate(_checked(frames, schema, name)):
        frame.write_parquet(folder / f"part-{part:05d}.parquet", compression="zstd")
        rows += frame.height
    if part < 0:
        pl.DataFrame(schema=schema).write_parquet(folder / "part-00000.parquet")
    return rows


def _checked(
    frames: Iterable[pl.DataFrame], schema: pl.Schema, name: str
) -> Iterator[pl.DataFrame]:
    for frame in frames:
        if frame.columns != list(schema):
            raise ValueError(f"dataset {name}: columns {frame.columns}, expected {list(schema)}")
        different = [c for c in schema if frame.schema[c] != schema[c] and frame.height]
        if different:
            found = {column: str(frame.schema[column]) for column in different}
            raise ValueError(f"dataset {name}: column types {found} differ from the schema")
        yield pl.DataFrame(schema=schema) if not frame.height else frame
