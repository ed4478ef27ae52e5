"""Folders that are replaced whole: what was in the old one and is no more does not stay behind."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

from humpback_pipeline.storage.atomic import TEMPORARY_PREFIX, atomic_directory, remove_path


@contextlib.contextmanager
def replaced_directory(target: Path) -> Iterator[Path]:
    """Yield an empty folder that takes the place of `target` if the block ends well.

    On an error `target` stays as it was, or comes back. A kill between the two renames at the end
    leaves no `target`, never half of one.
    """
    mark = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
    new = target.with_name(f"{TEMPORARY_PREFIX}new-{mark}")
    old = target.with_name(f"{TEMPORARY_PREFIX}old-{mark}")
    try:
        with atomic_directory(new) as folder:
            yield folder
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except BaseException:
            if old.exists():
                old.rename(target)
            raise
    finally:
        remove_path(new)
        remove_path(old)
