"""Content hashes of model directories, remembered so that 100 GB are not read at every start."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

from humpback_pipeline.storage import hash_model, write_json_atomic
from humpback_pipeline.storage.manifest import MANIFEST_NAME


def default_cache_dir() -> Path:
    """Home of converted and merged models: `$HUMPBACK_HOME/cache`, else `.humpback/cache`."""
    return Path(os.environ.get("HUMPBACK_HOME") or ".humpback") / "cache"


def content_hash(folder: Path, cache_dir: Path) -> str:
    """`storage.hash_model(folder)`, read once for as long as no file there changes.

    A change is seen by name, size or time of modification, as `make` sees it.
    """
    if (folder / MANIFEST_NAME).is_file():
        return hash_model(folder)
    state = [
        (path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and (stat := path.stat())
    ]
    fingerprint = hashlib.sha256(json.dumps([str(folder.resolve()), state]).encode()).hexdigest()
    note = cache_dir / "hashes" / f"{fingerprint[:32]}.json"
    if not note.is_file():
        write_json_atomic(note, {"folder": str(folder), "content_hash": hash_model(folder)})
    return str(json.loads(note.read_text(encoding="utf-8"))["content_hash"])
