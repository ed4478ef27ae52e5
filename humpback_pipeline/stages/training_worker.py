"""The program that trains in a process of its own, or in each of several, for a stage.

It speaks JSON over a socket pair, as an engine's process does: `["progress", fields]` and
`["event", fields]` on the way, from the first process only, and at last `["done", result]` (the
first one's, else null) or `["failed", fields of Failure]`. One that dies says nothing more.

Not Dagster's Pipes: the stages know nothing of Dagster and serve notebooks and tests just as well,
an engine's process speaks like this already, and of Pipes' messages only log lines would be used:
checks and metadata need the finished manifest.
"""

from __future__ import annotations

import faulthandler
import json
import logging
import sys
import traceback
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from humpback_pipeline.generation.memory import ran_out_of_memory
from humpback_pipeline.generation.process import exit_when_orphaned, let_itself_be_ended
from humpback_pipeline.progress import Progress
from humpback_pipeline.recipe import TrainingRecipe

WORK, EXAMPLES, HELD_OUT, RENDEZVOUS = "work.json", "examples", "held_out", "meet"
# Our messages say it all; the trace of any other error, or of a library's, goes to the log.
EXPECTED = (
    "BaseModelError",
    "FileExistsError",
    "OutOfSpaceError",
    "TrainingMemoryError",
    "ValueError",
)
PACKAGE = "humpback_pipeline"
logger = logging.getLogger(__name__)


class TrainingWork(BaseModel):
    """What is to be trained, besides the examples; see `train_model`."""

    base: Path
    settings: TrainingRecipe
    output_dir: Path
    base_identity: dict[str, Any]
    stage: str
    trust_remote_code: bool
    checkpoint_dir: Path
    log_dir: Path
    mixture: dict[str, dict[str, float]] = {}

    def options(self) -> dict[str, Any]:
        """Keyword arguments of `train_model` that JSON can hold."""
        places = ("checkpoint_dir", "log_dir")
        names = ("base_identity", "stage", "trust_remote_code", "mixture", *places)
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Failure:
    """How a training failed; step and example_ids are set for one that diverged."""

    kind: str
    message: str
    out_of_memory: bool = False
    what: str = ""
    step: int = 0
    example_ids: list[str] = field(default_factory=list)


def work_on(folder: Path, pipe: Connection) -> None:
    """Train what lies in `folder` and say how it goes."""
    from humpback_pipeline.training import TrainingEvent, ranks, train_model
    from humpback_pipeline.training.uses import taken_over

    def say(kind: str, payload: Any) -> None:
        pipe.send_bytes(json.dumps([kind, payload]).encode())

    def on_progress(progress: Progress) -> None:
        say("progress", asdict(progress))

    def on_event(event: TrainingEvent) -> None:
        say("event", asdict(event))

    try:
        ranks.join(folder / RENDEZVOUS)
        work = TrainingWork.model_validate_json((folder / WORK).read_text(encoding="utf-8"))
        result = train_model(
            work.base,
            taken_over(folder, EXAMPLES),
            taken_over(folder, HELD_OUT),
            work.settings,
            work.output_dir,
            on_progress=on_progress,
            on_event=on_event,
            **work.options(),
        )
    except Exception as error:
        failure = failure_of(error)
        if failure.kind not in (*EXPECTED, "TrainingDivergedError") or is_of_a_library(error):
            logger.exception("training")
        say("failed", asdict(failure))
    else:
        say("done", result.as_dict() if ranks.is_main() else None)


def failure_of(error: Exception) -> Failure:
    """An error as the parent is told of it."""
    from humpback_pipeline.training import TrainingDivergedError

    kind, text = type(error).__name__, str(error)
    if isinstance(error, TrainingDivergedError):
        return Failure(kind, text, False, error.what, error.step, list(error.example_ids))
    return Failure(kind, text, ran_out_of_memory(error))


def is_of_a_library(error: Exception) -> bool:
    """Whether the error was raised outside of this package, so that its words may mean nothing."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] != PACKAGE


if __name__ == "__main__":
    let_itself_be_ended()
    exit_when_orphaned(int(sys.argv[3]))
    faulthandler.enable()  # a crash in native code names the Python lines that led to it
    work_on(Path(sys.argv[1]), Connection(int(sys.argv[2])))
