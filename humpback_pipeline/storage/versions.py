"""Versions of an artefact in a folder: each whole and immutable, one of them current."""

from __future__ import annotations

import contextlib
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from humpback_pipeline.storage.atomic import atomic_directory, write_text_atomic
from humpback_pipeline.storage.manifest import MANIFEST_NAME, Manifest

CURRENT_NAME = "CURRENT"


class NotMaterializedError(LookupError):
    """An artefact has no complete version yet."""


@dataclass(frozen=True)
class Versions:
    """The versions below one folder: `<folder>/<version>/manifest.json` and `<folder>/CURRENT`.

    A version is published by renaming its finished folder and then replacing CURRENT, so a reader
    sees the old version or the new one, never a part.
    """

    folder: Path
    keep: int = 3
    keep_days: float | None = None

    @contextlib.contextmanager
    def new(self) -> Iterator[tuple[str, Path]]:
        """Yield (version, empty folder); publish it when the block ends well."""
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        version = f"{stamp}-{uuid.uuid4().hex[:6]}"
        with atomic_directory(self.folder / version) as temporary:
            yield version, temporary
            if not (temporary / MANIFEST_NAME).is_file():
                raise FileNotFoundError(f"{temporary}: a version needs a {MANIFEST_NAME}")
        write_text_atomic(self.folder / CURRENT_NAME, version + "\n")
        self._remove_old(version)

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

    def publish(self, version: str) -> None:
        """Make a kept version the current one. Raises NotMaterializedError."""
        if not (self.folder / version / MANIFEST_NAME).is_file():
            raise NotMaterializedError(f"{self.folder}: no version {version!r} is kept here.")
        write_text_atomic(self.folder / CURRENT_NAME, version + "\n")

    def history(self) -> list[Path]:
        """Folders of all complete versions, oldest first."""
        return sorted(path.parent for path in self.folder.glob(f"[0-9]*/{MANIFEST_NAME}"))

    def _remove_old(self, current: str) -> None:
        old = [path for path in self.history() if path.name != current]
        for path in old[: max(0, len(old) + 1 - self.keep)]:
            shutil.rmtree(path, ignore_errors=True)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a version's folder."""
    text = (folder / MANIFEST_NAME).read_text(encoding="utf-8")
    return Manifest.model_validate_json(text)
