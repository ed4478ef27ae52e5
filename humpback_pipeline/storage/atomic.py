"""Writes that are whole or not there: temporary name, fsync, rename."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TEMPORARY_PREFIX = ".tmp-"


@contextlib.contextmanager
def atomic_directory(target: Path) -> Iterator[Path]:
    """Yield a temporary sibling folder that becomes `target` if the block ends well.

    Every file in it is flushed to disk first. On an error the folder is removed and nothing named
    `target` appears. Raises FileExistsError if `target` is already there.
    """
    if target.exists():
        raise FileExistsError(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(
        f"{TEMPORARY_PREFIX}{target.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    )
    temporary.mkdir()
    try:
        yield temporary
        for path in temporary.rglob("*"):
            if path.is_file():
                _fsync(path)
        _fsync(temporary)
        temporary.rename(target)
        _fsync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text_atomic(path: Path, text: str) -> None:
    """Replace the file at `path` by `text`, or leave it as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(
        f"{TEMPORARY_PREFIX}{path.name}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    )
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _fsync(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def write_json_atomic(path: Path, value: Any) -> None:
    """Replace the file at `path` by `value` as indented JSON."""
    write_text_atomic(path, json.dumps(value, indent=2, ensure_ascii=False, sort_keys=True) + "\n")


def remove_leftovers(folder: Path, *, older_than_s: float = 86_400.0) -> list[Path]:
    """Remove temporary files and folders that a killed writer left below `folder`.

    A training may write into one for days: only those go that are old and whose process has ended.
    """
    import time

    limit = time.time() - older_than_s
    leftovers = []
    for path in temporary_paths(folder):
        with contextlib.suppress(FileNotFoundError):  # published or given up just now
            if path.stat().st_mtime < limit and not _writer_is_alive(path):
                leftovers.append(path)
                remove_path(path)
    return leftovers


def temporary_paths(folder: Path) -> Iterator[Path]:
    """Temporary files and folders below `folder`, whatever appears or goes meanwhile."""
    for root, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if name.startswith(TEMPORARY_PREFIX):
                yield Path(root, name)
        folders[:] = [name for name in folders if not name.startswith(TEMPORARY_PREFIX)]


def remove_path(path: Path) -> None:
    """Remove a file or a whole folder; one that is gone already is no error."""
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _writer_is_alive(path: Path) -> bool:
    # Names end in -<process id>-<random>. The process may be on another machine that shares the
    # disk, which is why age counts too.
    process_id = path.name.rsplit("-", 2)[-2]
    return process_id.isdigit() and Path(f"/proc/{process_id}").exists()


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
