"""Content hashes of WARC files within a time limit: a folder may hold terabytes."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage.file_hashes import file_signature


class _Hashing(threading.Thread):
    """One file being read. A daemon thread: it never keeps a process from ending."""

    def __init__(self, workspace: Workspace, location: Path | str) -> None:
        super().__init__(daemon=True, name=f"hash {location}")
        self.value: str | None = None
        self._workspace = workspace
        self._location = location

    def run(self) -> None:
        """Hash; a file that cannot be read any more has no hash."""
        try:
            self.value = self._workspace.warc_hash(self._location)
        except OSError:
            self.value = None


# Files that one call could not finish: the next one finds them done.
_running: dict[tuple[Path | str, str], _Hashing] = {}


def hash_until(workspace: Workspace, location: Path | str, deadline_s: float) -> str | None:
    """`Workspace.warc_hash` of a file; None when it cannot be known by `deadline_s` (monotonic).

    Reading goes on in this process, and a content is read once: `warc_hash` remembers. A file
    behind a URL is not read, only its store is asked.
    """
    # What a store says has no signature, and one look at it is as good as another.
    signature = file_signature(location) if isinstance(location, Path) else ""
    if isinstance(location, Path) and (known := workspace.file_hashes.known(location)):
        return known
    left_s = deadline_s - time.monotonic()
    hashing = _running.get((location, signature))
    if hashing is None:
        if left_s <= 0:
            return None
        hashing = _running[location, signature] = _Hashing(workspace, location)
        hashing.start()
    hashing.join(max(0.0, left_s))
    if hashing.is_alive():
        return None
    _running.pop((location, signature), None)  # another thread may have waited for it as well
    if isinstance(location, Path) and file_signature(location) != signature:
        return None
    return hashing.value


def is_being_read(location: Path | str) -> bool:
    """Whether an earlier call left this file unfinished: others should come first."""
    return any(running == location for running, _ in list(_running))
