"""ModelStore: model directories with a manifest, one folder a version."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from humpback_pipeline.storage.atomic import write_text_atomic
from humpback_pipeline.storage.datasets import check_free_space
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

# The files that make a model what it is; logs and cards beside them do not change its identity.
IDENTITY_SUFFIXES = (".safetensors", ".jinja")
IDENTITY_NAMES = (
    "config.json",
    "adapter_config.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
)


@dataclass
class NewModel:
    """A model being written: put its files into `folder`, and what is known of it in `facts`."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)
    manifest: Manifest | None = None


@dataclass(frozen=True)
class ModelStore:
    """Named models below `home/models`."""

    home: Path
    recipe_name: str = ""
    recipe_hash: str = ""
    keep_versions: int = 3
    keep_days: float | None = None

    def versions(self, name: str) -> Versions:
        """All versions of a model."""
        return Versions(self.home / "models" / name, self.keep_versions, self.keep_days)

    @contextlib.contextmanager
    def new(
        self,
        name: str,
        *,
        inputs: Iterable[Manifest] = (),
        sources: Provenance | None = None,
        fingerprint: str = "",
        rows: int | None = None,
    ) -> Iterator[NewModel]:
        """Yield a NewModel; when the block ends well its folder becomes the current version.

        After the block, `.manifest` holds the manifest. Raises OutOfSpaceError.
        """
        check_free_space(self.home)
        inputs = list(inputs)
        with self.versions(name).new() as (version, folder):
            model = NewModel(folder)
            yield model
            files = hash_model_files(folder)
            model.manifest = Manifest(
                name=name,
                kind="model",
                version=version,
                content_hash=hash_files(files),
                rows=rows,
                files=files,
                inputs={manifest.key: manifest.content_hash for manifest in inputs},
                provenance=inherit(inputs, sources),
                recipe_name=self.recipe_name,
                recipe_hash=self.recipe_hash,
                created=utc_now(),
                fingerprint=fingerprint,
                facts=dict(model.facts),
            )
            write_text_atomic(folder / MANIFEST_NAME, model.manifest.model_dump_json(indent=2))

    def path(self, name: str) -> Path:
        """Folder of the current version. Raises NotMaterializedError."""
        return self.versions(name).current()

    def manifest(self, name: str) -> Manifest:
        """Manifest of the current version. Raises NotMaterializedError."""
        return self.versions(name).manifest()


def hash_model_files(folder: Path) -> dict[str, str]:
    """File name → SHA-256 of the files that define a model's behaviour."""
    return {
        path.relative_to(folder).as_posix(): hash_file(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (path.suffix in IDENTITY_SUFFIXES or path.name in IDENTITY_NAMES)
    }


def hash_model(folder: Path) -> str:
    """Content hash of a model directory, from its manifest where it has one."""
    manifest = folder / MANIFEST_NAME
    if manifest.is_file():
        return Manifest.model_validate_json(manifest.read_text(encoding="utf-8")).content_hash
    return hash_files(hash_model_files(folder))
