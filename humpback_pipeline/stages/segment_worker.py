"""One shard cut in a process of its own; what the process says on its way.

It speaks JSON over a pipe: `["report", pages, segments, header]` now and then, and at last
`["done", manifest]` or `["failed", name, message, errno]`. One that dies says nothing more.
"""

from __future__ import annotations

import faulthandler
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

from humpback_pipeline.generation.process import die_with_parent, let_itself_be_ended
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.stages.corpus import SegmentShard, Source, cut_shard
from humpback_pipeline.stages.page_mark import PageMark
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage.remote import LocationError
from humpback_pipeline.web import NotAWarcError, ShardReport
from humpback_pipeline.web.shards import CorpusError

logger = logging.getLogger(__name__)
# Their messages say it all; any other error's trace goes to the log.
_EXPECTED = (NotAWarcError, CorpusError, LocationError, OSError, LookupError)


@dataclass(frozen=True)
class ShardWork:
    """All that a worker needs to know, as it is sent to it."""

    recipe: Recipe
    rebuild: bool
    shard: str
    source: Source
    skip: Mapping[int, str]
    segment: SegmentShard


def work_on(work: ShardWork, mark: PageMark, pipe: Connection) -> None:
    """The worker's whole life; it ends with its parent, and leaves interrupts to it."""
    let_itself_be_ended()
    die_with_parent()
    faulthandler.enable()  # a crash in native code names the Python lines that led to it

    def say(*words: Any) -> None:
        pipe.send_bytes(json.dumps(words).encode())

    def report(so_far: ShardReport) -> None:
        say("report", so_far.n_documents, so_far.n_segments, so_far.last_header)

    try:
        manifest = cut_shard(
            Workspace(work.recipe, work.rebuild),
            work.shard,
            work.source,
            on_report=report,
            skip=work.skip,
            mark=mark,
            segment=work.segment,
        )
    except Exception as error:
        if not isinstance(error, _EXPECTED):
            logger.exception("segments of %s", work.shard)
        say("failed", type(error).__name__, str(error), getattr(error, "errno", None))
    else:
        say("done", manifest.model_dump_json())
    pipe.close()
