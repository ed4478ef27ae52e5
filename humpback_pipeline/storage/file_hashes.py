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

    A file counts as untouched while inode, size, modification and change time are the same; the
    last of them cannot be set by hand, so a file put back with its old time is read again.
    """

    folder: Path

    def hash(self, path: Path) -> str:
        """Hash of the file's content, read only if the file was touched since the last time."""
        stat = path.stat()
        state = [stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns]
        name = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:24]
        memory = self.folder / f"{name}.json"
        try:
            known = json.loads(memory.read_text(encoding="utf-8"))
            if known["state"] == state:
                return str(known["sha256"])
        except (OSError, ValueError, KeyError, TypeError):
            pass  # not hashed yet, or a damaged note: the file itself decides
        value = hash_file(path)
        note = {"path": str(path), "state": state, "sha256": value}
        memory.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(memory, json.dumps(note))
        return value
