"""Checkpoints of a training: whole folders, the last two kept, only ever of this very training.

A folder of a training is named by a fingerprint of everything that shapes it, so another recipe's
or other data's checkpoint is never gone on from. A checkpoint appears by one rename when it is
whole: to be there is to be complete, which mere existence of a half-written one is not.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from humpback_pipeline.storage import (
    OutOfSpaceError,
    atomic_directory,
    check_free_space,
    remove_leftovers,
)
from humpback_pipeline.training import ranks

FORMAT = 1
KEPT = 2
FACTS = "training.json"
FINGERPRINT_DIGITS = 16
logger = logging.getLogger(__name__)


def training_fingerprint(facts: Mapping[str, Any]) -> str:
    """SHA-256 (16 digits) over what shapes a training, in JSON's types."""
    text = json.dumps({"format": FORMAT, **facts}, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:FINGERPRINT_DIGITS]


class Checkpoints:
    """The checkpoints of one training in `folder`: `checkpoint-<step>`, and `best-<step>`.

    Opening it removes what a killed process left half-written. All processes of a training call
    the same methods at the same steps.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if ranks.is_main() and folder.is_dir():
            remove_leftovers(folder, older_than_s=0.0)

    def last(self) -> Path | None:
        """The newest checkpoint that can be read, the same in every process; None without any."""
        found = ""
        if ranks.is_main():
            newest_first = (path for _, path in reversed(self._steps("checkpoint")))
            found = str(next(filter(is_readable, newest_first), ""))
        said = ranks.told_by_main(found)
        return Path(said) if said else None

    def best(self, step: int) -> Path:
        """Where the weights of the lowest held-out loss, that after `step` steps, lie."""
        return self.folder / f"best-{step}"

    def write(self, kind: str, step: int, write_part: Callable[[Path], None]) -> bool:
        """Let every process write its part into a folder that appears, whole, once all have.

        Where the disk fails one of them, as a full one does, it does not appear and every process
        gets False: the training itself goes well, and is not to end for a safeguard.
        """
        target = self.folder / f"{kind}-{step}"
        failures: list[Exception] = []
        with suppress(_NotWrittenError), ExitStack() as stack:
            made = ""
            if ranks.is_main():
                with _noted(failures, target):
                    shutil.rmtree(target, ignore_errors=True)
                    made = str(stack.enter_context(atomic_directory(target)))
            if folder := ranks.told_by_main(made):
                with _noted(failures, target):
                    write_part(Path(folder))
            if ranks.largest(float(bool(failures))):
                raise _NotWrittenError  # has the unfinished folder removed
            with _noted(failures, target):
                stack.close()
        return not ranks.largest(float(bool(failures)))

    def has_room(self, n_bytes: int) -> bool:
        """Whether the disk has so much free; the log says if it has not."""
        try:
            check_free_space(self.folder, n_bytes)
        except OutOfSpaceError as error:
            logger.warning("nothing is put into %s: %s", self.folder, error)
            return False
        return True

    def forget_after(self, step: int) -> None:
        """Remove what lies beyond the step that is gone on from; it will come again."""
        for kind in ("checkpoint", "best"):
            for number, path in self._steps(kind):
                if ranks.is_main() and number > step:
                    shutil.rmtree(path, ignore_errors=True)
        ranks.wait_for_all()

    def prune(self, best_step: int | None) -> None:
        """Keep the last two checkpoints, and the best weights that they or this run name."""
        if not ranks.is_main():
            return
        checkpoints = [path for _, path in self._steps("checkpoint")]
        for path in checkpoints[:-KEPT]:
            shutil.rmtree(path, ignore_errors=True)
        readable = filter(is_readable, checkpoints[-KEPT:])
        kept = {best_step, *(read_facts(path)["best_step"] for path in readable)}
        for step, path in self._steps("best"):
            if step not in kept:
                shutil.rmtree(path, ignore_errors=True)

    def _steps(self, kind: str) -> list[tuple[int, Path]]:
        found = self.folder.glob(f"{kind}-*")
        return sorted((int(path.name.rpartition("-")[2]), path) for path in found)


def write_facts(folder: Path, facts: Mapping[str, Any]) -> None:
    """Put what the training had measured so far into a checkpoint that is being written."""
    if ranks.is_main():
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")


def read_facts(folder: Path) -> dict[str, Any]:
    """What the training had measured when the checkpoint was written."""
    return dict(json.loads((folder / FACTS).read_text(encoding="utf-8")))


def is_readable(folder: Path) -> bool:
    """Whether every file of a checkpoint opens and is as long as it says; the log says which not.

    A disk that lost power may have lost what was already written.
    """
    from safetensors import SafetensorError, safe_open

    try:
        read_facts(folder)
        for path in sorted(folder.iterdir()):
            if path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            else:
                with safe_open(path, framework="numpy"):
                    pass
    except (OSError, ValueError, SafetensorError) as error:
        logger.warning("%s cannot be read, it is passed over: %s", folder, error)
        return False
    return True


def remove_checkpoints(folder: Path) -> None:
    """Remove all checkpoints of a model, of whatever training; for when the model is saved."""
    shutil.rmtree(folder, ignore_errors=True)


def folder_bytes(folder: Path) -> int:
    """Size of the files of a checkpoint."""
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())


class _NotWrittenError(Exception):
    """Ends the writing of a folder; nobody sees it."""


@contextmanager
def _noted(failures: list[Exception], target: Path) -> Iterator[None]:
    """Note what the disk fails at, instead of raising it."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError) as error:
        logger.warning("%s is not written, the training goes on: %s", target, error)
        failures.append(error)
