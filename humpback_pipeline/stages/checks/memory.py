"""What has passed before: a costly check is not made again while nothing it looks at changes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import write_json_atomic


class PassedCheck:
    """One check of the files in `folder`, and whatever else decides it: `facts`, JSON values.

    A change of a file is seen by name, size or time of modification, as `make` sees it.
    """

    def __init__(self, workspace: Workspace, name: str, folder: Path, *facts: Any) -> None:
        files = [
            (path.relative_to(folder).as_posix(), stat.st_size, stat.st_mtime_ns)
            for path in sorted(folder.rglob("*"))
            if path.is_file() and (stat := path.stat())
        ]
        text = json.dumps([name, str(folder), files, *facts])
        digest = hashlib.sha256(text.encode()).hexdigest()[:32]
        self._note = workspace.cache_dir / "checks" / f"{name}-{digest}.json"

    def recall(self) -> dict[str, Any] | None:
        """What was noted when it passed; None if it has not."""
        if not self._note.is_file():
            return None
        return dict(json.loads(self._note.read_text(encoding="utf-8")))

    def remember(self, note: dict[str, Any]) -> None:
        """Note that it has passed."""
        write_json_atomic(self._note, note)
