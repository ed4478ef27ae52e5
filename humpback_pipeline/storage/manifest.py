"""The manifest beside every dataset and model: what it is, and everything it was made from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

import humpback_pipeline

MANIFEST_NAME = "manifest.json"


class Provenance(BaseModel):
    """Everything behind an artefact, by content hash: name → hash, through all its ancestors."""

    model_config = ConfigDict(frozen=True)

    seed_files: dict[str, str] = {}
    warc_shards: dict[str, str] = {}
    prompts: dict[str, str] = {}
    base_models: dict[str, str] = {}
    models: dict[str, str] = {}
    datasets: dict[str, str] = {}

    def merged(self, others: Iterable[Provenance]) -> Provenance:
        """Union with `others`; on a name in both, this one's hash stands."""
        facts: dict[str, dict[str, str]] = {name: {} for name in Provenance.model_fields}
        for provenance in (*others, self):
            for name in facts:
                facts[name].update(getattr(provenance, name))
        return Provenance(**facts)


class Manifest(BaseModel):
    """Facts of one version of a dataset or model; written last, so it marks completeness."""

    model_config = ConfigDict(frozen=True)

    name: str
    partition: str | None = None
    kind: str = Field(pattern="^(dataset|model)$")
    version: str
    content_hash: str
    rows: int | None = None
    columns: dict[str, str] = {}
    files: dict[str, str] = Field(default={}, description="File name → SHA-256.")
    inputs: dict[str, str] = Field(default={}, description="Direct inputs: name → content hash.")
    provenance: Provenance = Provenance()
    recipe_name: str = ""
    recipe_hash: str = ""
    code_version: str = humpback_pipeline.__version__
    created: str = ""
    fingerprint: str = Field(
        default="", description="Hash of all that shapes the content; equal means nothing to do."
    )
    facts: dict[str, Any] = Field(default={}, description="Counts and figures of the making.")

    @property
    def key(self) -> str:
        """Name with partition: `clueweb_segments/web-00000`."""
        return f"{self.name}/{self.partition}" if self.partition else self.name


def inherit(direct: Iterable[Manifest], own: Provenance | None = None) -> Provenance:
    """Provenance of something made from the artefacts `direct` and the sources `own`."""
    direct = list(direct)
    datasets = {m.key: m.content_hash for m in direct if m.kind == "dataset"}
    models = {m.key: m.content_hash for m in direct if m.kind == "model"}
    here = (own or Provenance()).merged([Provenance(datasets=datasets, models=models)])
    return here.merged([manifest.provenance for manifest in direct])


def hash_file(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_files(files: Mapping[str, str]) -> str:
    """One SHA-256 over file names and their hashes, whatever the order they come in."""
    digest = hashlib.sha256()
    for name, value in sorted(files.items()):
        digest.update(f"{name}\0{value}\0".encode())
    return digest.hexdigest()


def hash_text(text: str) -> str:
    """SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def utc_now() -> str:
    """The time, ISO 8601, UTC, to the microsecond."""
    return datetime.now(UTC).isoformat()
