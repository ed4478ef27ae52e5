"""One version of a dataset or model, as the catalogue knows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from humpback_pipeline.storage.manifest import Manifest
from humpback_pipeline.storage.versions import read_manifest


class ArtefactFacts(BaseModel):
    """The small part of a manifest that is kept in memory; facts and provenance can be large."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    kind: str
    name: str
    partition: str | None = None
    version: str
    content_hash: str
    rows: int | None = None
    columns: dict[str, str] = {}
    inputs: dict[str, str] = {}
    recipe_name: str = ""
    recipe_hash: str = ""
    code_version: str = ""
    created: str = ""


@dataclass(frozen=True)
class Artefact:
    """One version of a dataset (or one of its partitions) or of a model.

    is_whole: its data are still there; else only its manifest and which rows it held.
    """

    facts: ArtefactFacts
    folder: Path
    is_current: bool
    is_whole: bool

    @property
    def key(self) -> str:
        """Name with partition, as manifests name their inputs."""
        facts = self.facts
        return f"{facts.name}/{facts.partition}" if facts.partition else facts.name

    @property
    def kind(self) -> str:
        """dataset or model."""
        return self.facts.kind

    @property
    def name(self) -> str:
        """Name without partition."""
        return self.facts.name

    @property
    def partition(self) -> str | None:
        """Partition, if it has any."""
        return self.facts.partition

    @property
    def version(self) -> str:
        """Name of the version; sorts by time."""
        return self.facts.version

    @property
    def content_hash(self) -> str:
        """Hash of the content; equal content has equal hashes."""
        return self.facts.content_hash

    @property
    def inputs(self) -> Mapping[str, str]:
        """Direct inputs: key → content hash."""
        return self.facts.inputs

    @property
    def columns(self) -> Mapping[str, str]:
        """Column → type, of a dataset."""
        return self.facts.columns

    @property
    def rows(self) -> int | None:
        """Rows of a dataset; examples a model was trained on."""
        return self.facts.rows

    @property
    def created(self) -> str:
        """When it was finished, ISO 8601, UTC."""
        return self.facts.created

    def manifest(self) -> Manifest:
        """All that is known of it, read from disk."""
        return read_manifest(self.folder)
