"""Segments of many shards: a process for each, watched, and begun again where a page kills it.

The limit on a page's time is a signal, which native code does not hear, and an error in native code
ends its process. Here such a page costs itself alone: it is left out by its offset, and counted.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing.connection import wait
from pathlib import Path
from typing import Final

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.corpus import (
    SEGMENTS,
    SegmentShard,
    Source,
    segments_of_removed_file,
    segments_origin,
    sources_of,
)
from humpback_pipeline.stages.corpus_settings import shaping_files
from humpback_pipeline.stages.segment_progress import CrewProgress
from humpback_pipeline.stages.shard_process import ShardError, ShardProcess
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest
from humpback_pipeline.web import segment_shard

POLL_S: Final = 0.5
# Of wall and CPU time at one page, before its process is killed: far above the page's own limit.
MIN_STUCK_S: Final = 10.0
STUCK_PER_PAGE_LIMIT: Final = 5.0


class SegmentingError(RuntimeError):
    """Some shards gave no segments. `failures`: shard → why; all others are finished."""

    def __init__(self, failures: Mapping[str, ShardError], n_shards: int) -> None:
        self.failures = dict(failures)
        reasons: dict[str, list[str]] = {}
        for shard, error in failures.items():
            reasons.setdefault(str(error), []).append(shard)
        lines = [f"- {', '.join(shards)}: {reason}" for reason, shards in reasons.items()]
        others = "; the others are finished and will not be cut again" * (len(failures) < n_shards)
        super().__init__(
            "\n".join([f"{len(failures)} of {n_shards} shards gave no segments{others}:", *lines])
        )


def write_all_segments(
    workspace: Workspace,
    shards: Sequence[str],
    on_progress: OnProgress = ignore_progress,
    *,
    segment: SegmentShard = segment_shard,
    stuck_after_s: float | None = None,
) -> Iterator[tuple[str, Manifest]]:
    """Yield (shard, manifest) as they finish, unchanged ones first, then the largest files.

    As many processes as `corpus.processes` says, each core's one if it says nothing. A process that
    dies at a page, or sits at one for `stuck_after_s` (default: five page limits, at least 10 s),
    is begun again without it: `native_crash` or `extraction_timeout`. A shard that fails does not
    keep the others from being finished. Closing the iterator ends all processes at once. Raises
    CorpusError at once for a recipe that fits no shard, and SegmentingError at the end.
    """
    corpus = workspace.recipe.corpus
    if stuck_after_s is None:
        stuck_after_s = max(MIN_STUCK_S, STUCK_PER_PAGE_LIMIT * corpus.max_page_s)
    shaping_files(corpus)  # a list that is not there stops here, not once for every shard
    sources = sources_of(workspace)
    failures: dict[str, ShardError] = {}
    pending: dict[str, Source] = {}
    for shard in shards:
        try:
            if made := _already_made(workspace, shard, sources):
                yield shard, made
            else:
                pending[shard] = sources[shard]
        except (LookupError, OSError) as error:
            failures[shard] = _failure(error)

    progress = CrewProgress({s: _size(source) for s, source in pending.items()}, on_progress)
    todo = deque(sorted(pending, key=lambda shard: progress.sizes[shard] or 0, reverse=True))
    n_processes = corpus.processes or available_cores()
    at_work: list[ShardProcess] = []
    try:
        while todo or at_work:
            while todo and len(at_work) < n_processes:
                shard = todo.popleft()
                at_work.append(
                    ShardProcess(workspace, shard, pending[shard], segment, stuck_after_s)
                )
            wait([handle for process in at_work for handle in process.handles], POLL_S)
            for process in list(at_work):
                try:
                    manifest = process.look()
                except ShardError as error:
                    failures[process.shard] = error
                    progress.failed(process.shard)
                    at_work.remove(process)
                else:
                    if manifest is not None:
                        at_work.remove(process)
                        progress.finished(process.shard, manifest)
                        yield process.shard, manifest
            progress.tell([] if todo and not at_work else at_work)
    finally:
        for process in at_work:
            process.kill()
    if failures:
        raise SegmentingError(failures, len(shards)) from _io_errors(failures)


def available_cores() -> int:
    """Cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on Linux
        return os.cpu_count() or 1


def _already_made(
    workspace: Workspace, shard: str, sources: Mapping[str, Source]
) -> Manifest | None:
    if kept := segments_of_removed_file(workspace, shard, sources):
        return kept
    if shard not in sources:
        workspace.shard(shard)  # raises, and says what to do
    if workspace.rebuild or not workspace.datasets.versions(SEGMENTS, shard).history():
        return None  # its process will hash the file: many at once, where a terabyte is new
    return workspace.unchanged_dataset(segments_origin(workspace, shard, sources[shard]), shard)


def _failure(error: LookupError | OSError) -> ShardError:
    return ShardError(f"{type(error).__name__}: {error}", getattr(error, "errno", None))


def _io_errors(failures: Mapping[str, ShardError]) -> OSError | None:
    """The failures of disks and connections, each the cause of the one before.

    Whoever catches the whole can tell from them whether another try may help.
    """
    first: OSError | None = None
    for error in failures.values():
        if error.errno is not None:
            found = OSError(error.errno, str(error))
            found.__cause__, first = first, found
    return first


def _size(source: Source) -> int | None:
    """Bytes of a local file, 0 for one that is not there; None for a URL."""
    if isinstance(source, str):
        return None
    try:
        return Path(source).stat().st_size
    except OSError:
        return 0
