"""Content hashes of large files, remembered as long as a file has not been touched."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from humpback_pipeline.storage.atomic import write_text_atomic
from humpback_pipeline.storage.manifest import hash_file


@dataclass(frozen=True)
class FileHashes:
    """SHA-256 of files; `folder` holds one small JSON for each file that was hashed.

    A file counts as untouched while its signature is the same, so one that was put back with its
    old time is read again.
    """

    folder: Path

    def hash(self, path: Path) -> str:
        """Hash of the file's content, read only if the file was touched since the last time."""
        if known := self.known(path):
            return known
        state = _state(path)
        value = hash_file(path)
        note = {"path": str(path), "state": state, "sha256": value}
        memory = self._memory(path)
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(memory, json.dumps(note))
        return value

    def known(self, path: Path) -> str | None:
        """The file's hash without reading it; None if it was touched since, or never hashed."""
        state = _state(path)
        try:
            note = json.loads(self._memory(path).read_text(encoding="utf-8"))
            return str(note["sha256"]) if note["state"] == state else None
        except (OSError, ValueError, KeyError, TypeError):
            return None  # not hashed yet, or a damaged note: the file itself decides

    def _memory(self, path: Path) -> Path:
        name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
        return self.folder / f"{name}.json"


def file_signature(path: Path) -> str:
    """Changes whenever the file is touched: inode, size, times of modification and change.

    The inode and the last time, which cannot be set by hand, tell a file that was replaced by one
    of the same size and modification time.
    """
    return "-".join(str(part) for part in _state(path))


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns]
