"""Content hashes of WARC files within a time limit: a folder may hold terabytes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from humpback_pipeline.stages.workspace import Workspace


class _Hashing(threading.Thread):
    """One file being read. A daemon thread: it never keeps a process from ending."""

    def __init__(self, workspace: Workspace, path: Path) -> None:
        super().__init__(daemon=True, name=f"hash {path.name}")
        self.value: str | None = None
        self._workspace = workspace
        self._path = path

    def run(self) -> None:
        """Hash; a file that cannot be read any more has no hash."""
        try:
            self.value = self._workspace.warc_hash(self._path)
        except OSError:
            self.value = None


# Path → (signature, hash), and files that one call could not finish: the next one finds them done.
_known: dict[Path, tuple[str, str]] = {}
_running: dict[tuple[Path, str], _Hashing] = {}


def hash_until(workspace: Workspace, path: Path, deadline_s: float) -> str | None:
    """SHA-256 of a file; None when it cannot be known by `deadline_s` (monotonic).

    Reading goes on in this process, and a content is read once: `Workspace.warc_hash` remembers.
    """
    signature = file_signature(path)
    known = _known.get(path)
    if known is not None and known[0] == signature:
        return known[1]
    left_s = deadline_s - time.monotonic()
    hashing = _running.get((path, signature))
    if hashing is None:
        if left_s <= 0:
            return None
        hashing = _running[path, signature] = _Hashing(workspace, path)
        hashing.start()
    hashing.join(max(0.0, left_s))
    if hashing.is_alive():
        return None
    _running.pop((path, signature), None)  # another thread may have waited for it as well
    if hashing.value is None or file_signature(path) != signature:
        return None
    _known[path] = (signature, hashing.value)
    return hashing.value


def is_being_read(path: Path) -> bool:
    """Whether an earlier call left this file unfinished: others should come first."""
    return any(running == path for running, _ in list(_running))


def file_signature(path: Path) -> str:
    """Changes whenever the file is touched: size, times of modification and change, inode.

    The last two tell a file that was replaced by one of the same size and modification time.
    """
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}-{status.st_ctime_ns}-{status.st_ino}"
