"""What an artefact is made from, known before the work; equal origins make equal artefacts."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from humpback_pipeline.storage.manifest import Manifest, Provenance


@dataclass(frozen=True)
class Origin:
    """Everything that shapes an artefact.

    `inputs` are the artefacts it reads; `sources` what lies outside the stores, by content hash;
    `settings` the recipe's decisions (JSON values); `code_version` that of its stage.
    """

    name: str
    inputs: tuple[Manifest, ...] = ()
    sources: Provenance = field(default_factory=Provenance)
    settings: Mapping[str, Any] = field(default_factory=dict)
    code_version: str = ""

    @property
    def fingerprint(self) -> str:
        """SHA-256 over all of it; neither time nor place is part."""
        facts = {
            "name": self.name,
            "inputs": {manifest.key: manifest.content_hash for manifest in self.inputs},
            "sources": self.sources.model_dump(),
            "settings": self.settings,
            "code_version": self.code_version,
        }
        text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()
