"""Addresses of the lineage pages, for metadata and for the pages themselves.

artefact_url(manifest)  →  http://127.0.0.1:3001/lineage/model/m1?version=20261121T043509718280-…
"""

from __future__ import annotations

import os
from urllib.parse import quote, urlencode

from humpback_pipeline.storage.manifest import Manifest

PAGES_HOST = "127.0.0.1"
PORT_VARIABLE = "HUMPBACK_REPORT_PORT"
DEFAULT_PORT = 3001


def pages_port() -> int:
    """Port of the pages server: $HUMPBACK_REPORT_PORT, else 3001. Raises ValueError."""
    text = os.environ.get(PORT_VARIABLE) or str(DEFAULT_PORT)
    if not text.isdigit() or not 0 < int(text) < 65_536:
        raise ValueError(f"{PORT_VARIABLE}={text!r}: expected a port number from 1 to 65535")
    return int(text)


def base_url() -> str:
    """Address of the pages server, without a slash at the end."""
    return f"http://{PAGES_HOST}:{pages_port()}"


def artefact_path(
    kind: str, name: str, partition: str | None = None, version: str | None = None
) -> str:
    """Path of an artefact's page; without a version, the current one."""
    parts = [quote(part, safe="") for part in (kind, name, partition) if part]
    path = "/lineage/" + "/".join(parts)
    return f"{path}?{urlencode({'version': version})}" if version else path


def artefact_url(manifest: Manifest) -> str:
    """Address of the page of exactly this version of a dataset or model."""
    return base_url() + artefact_path(
        manifest.kind, manifest.name, manifest.partition, manifest.version
    )


def compare_path(kind: str, key: str, version_a: str, version_b: str) -> str:
    """Path of the comparison of two versions; `key` is `Manifest.key`."""
    query = {"kind": kind, "name": key, "a": version_a, "b": version_b}
    return f"/compare?{urlencode(query)}"


def search_path(query: str) -> str:
    """Path of a search's answer: a pair id, segment id, URL, shard or artefact name."""
    return f"/lineage?{urlencode({'q': query})}"
