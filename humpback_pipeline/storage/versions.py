"""Versions of an artefact in a folder: each whole and immutable, one of them current."""

from __future__ import annotations

import contextlib
import logging
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
from filelock import FileLock

from humpback_pipeline.storage.atomic import atomic_directory, write_text_atomic
from humpback_pipeline.storage.manifest import MANIFEST_NAME, Manifest
from humpback_pipeline.storage.retention import STAMP_FORMAT, expired, forget_data, remnants

CURRENT_NAME = "CURRENT"
LOCK_NAME = ".lock"
LOCK_TIMEOUT_S = 600.0
logger = logging.getLogger(__name__)


class NotMaterializedError(LookupError):
    """An artefact has no complete version yet."""


class UnknownVersionError(LookupError):
    """An artefact has no such version, or no longer its data."""


@dataclass(frozen=True)
class Versions:
    """The versions below one folder: `<folder>/<version>/manifest.json` and `<folder>/CURRENT`.

    A version is published by renaming its finished folder and then replacing CURRENT, so a reader
    sees the old version or the new one, never a part. The newest `keep` versions stay whole, and
    all that are younger than `keep_days`; of the others stays what `retention` describes.
    """

    folder: Path
    keep: int = 3
    keep_days: float | None = None

    @contextlib.contextmanager
    def new(self) -> Iterator[tuple[str, Path]]:
        """Yield (version, empty folder); publish it when the block ends well."""
        stamp = datetime.now(UTC).strftime(STAMP_FORMAT)
        version = f"{stamp}-{uuid.uuid4().hex[:6]}"
        with atomic_directory(self.folder / version) as temporary:
            yield version, temporary
            if not (temporary / MANIFEST_NAME).is_file():
                raise FileNotFoundError(f"{temporary}: a version needs a {MANIFEST_NAME}")
        with self._lock():
            write_text_atomic(self.folder / CURRENT_NAME, version + "\n")
            self._forget_old()

    def has_current(self) -> bool:
        """Whether there is a current version."""
        return (self.folder / CURRENT_NAME).is_file()

    def current(self) -> Path:
        """Folder of the current version. Raises NotMaterializedError."""
        pointer = self.folder / CURRENT_NAME
        if not pointer.is_file():
            raise NotMaterializedError(
                f"{self.folder}: nothing has been materialised here yet; materialise "
                f"{self.folder.name!r} (or the asset upstream of this one) first."
            )
        return self.folder / pointer.read_text(encoding="utf-8").strip()

    def manifest(self) -> Manifest:
        """Manifest of the current version. Raises NotMaterializedError."""
        return read_manifest(self.current())

    def history(self) -> list[Path]:
        """Folders of all complete versions, oldest first."""
        return sorted(path.parent for path in self.folder.glob(f"[0-9]*/{MANIFEST_NAME}"))

    def remembered(self) -> list[Path]:
        """Folders with a manifest of every version there ever was, whole or not, oldest first."""
        folders = {path.name: path for path in remnants(self.folder)}
        folders.update({path.name: path for path in self.history()})
        return [folders[version] for version in sorted(folders)]

    def publish(self, version: str) -> Manifest:
        """Make a version that is still whole the current one; return its manifest.

        Raises UnknownVersionError.
        """
        with self._lock():
            kept = {path.name: path for path in self.history()}
            if version not in kept:
                raise UnknownVersionError(self._no_such_version(version, sorted(kept)))
            manifest = read_manifest(kept[version])
            write_text_atomic(self.folder / CURRENT_NAME, version + "\n")
        return manifest

    def prune(self) -> list[str]:
        """Give up the data of versions past the retention rule; return these versions."""
        with self._lock():
            return self._forget_old()

    def _lock(self) -> FileLock:
        # Publishing an old version must not meet its removal.
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / LOCK_NAME, timeout=LOCK_TIMEOUT_S)

    def _forget_old(self) -> list[str]:
        pointer = self.folder / CURRENT_NAME
        current = pointer.read_text(encoding="utf-8").strip() if pointer.is_file() else None
        forgotten = []
        for path in expired(self.history(), current, self.keep, self.keep_days):
            try:
                forget_data(path)
                forgotten.append(path.name)
            except (OSError, pl.exceptions.PolarsError) as error:
                # A damaged old version, or a full disk, is no reason to lose the new version.
                logger.warning("%s: kept, because its rows cannot be noted: %s", path, error)
        return forgotten

    def _no_such_version(self, version: str, kept: list[str]) -> str:
        what = f"{self.folder.name!r}: version {version!r}"
        there = f"kept versions: {', '.join(kept) or 'none'}"
        if any(path.name == version for path in remnants(self.folder)):
            return (
                f"{what} is only remembered: its data were given up (keep_versions = {self.keep}, "
                f"keep_days = {self.keep_days}); materialise it anew, or publish one of the {there}"
            )
        return f"{what} does not exist; {there}"


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a version's folder."""
    text = (folder / MANIFEST_NAME).read_text(encoding="utf-8")
    return Manifest.model_validate_json(text)
