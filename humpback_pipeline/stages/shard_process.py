"""A shard's process, watched: begun again without the page that killed it or that it hangs at."""

from __future__ import annotations

import contextlib
import fnmatch
import json
import logging
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final

import psutil

from humpback_pipeline.stages.corpus import SEGMENTS, SegmentShard, Source
from humpback_pipeline.stages.page_mark import PageMark, PageWatch
from humpback_pipeline.stages.segment_worker import ShardWork, work_on
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest
from humpback_pipeline.storage.atomic import remove_leftovers, remove_path, temporary_paths
from humpback_pipeline.web.page_places import describe_place

logger = logging.getLogger(__name__)
# More such pages than this in one shard, and than this share of those begun, are no bad luck with
# single pages.
MAX_SKIPPED_PAGES: Final = 20
MAX_SKIPPED_SHARE: Final = 0.05
POLARS_THREADS: Final = "POLARS_MAX_THREADS"
_EXIT_TIMEOUT_S: Final = 10.0
_ENDED_FROM_OUTSIDE: Final = (-signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)


class ShardError(RuntimeError):
    """A shard that gave no segments; the message says why. `errno` is set for an error of I/O."""

    def __init__(self, message: str, errno: int | None = None) -> None:
        super().__init__(message)
        self.errno = errno


class ShardProcess:
    """One shard being cut by a process; `look` now and then, until it has a result.

    n_pages, n_segments, last_header: as the process told last; skip: place → reason of the pages
    that are left out. `stuck_after_s`: see PageWatch.
    """

    def __init__(
        self,
        workspace: Workspace,
        shard: str,
        source: Source,
        segment: SegmentShard,
        stuck_after_s: float,
    ) -> None:
        self.shard = shard
        self.skip: dict[int, str] = {}
        self.n_pages = self.n_segments = 0
        self.last_header = ""
        self._workspace, self._source, self._segment = workspace, source, segment
        self._stuck_after_s = stuck_after_s
        # What the process of a step that was killed left unfinished; nobody else cuts this shard.
        remove_leftovers(workspace.datasets.versions(SEGMENTS, shard).folder, older_than_s=0.0)
        self._start()

    @property
    def position(self) -> int:
        """Byte offset of the page it was at last."""
        return self._mark.position

    @property
    def handles(self) -> list[Any]:
        """What `multiprocessing.connection.wait` can wait for."""
        return [self._process.sentinel, *([] if self._pipe.closed else [self._pipe])]

    def look(self) -> Manifest | None:
        """The manifest if the shard is finished, else None. Raises ShardError if it failed."""
        exit_code = self._process.exitcode  # before the pipe: what it said last comes after
        if (manifest := self._listen()) is not None:
            self._end()
            return manifest
        if exit_code is not None:
            self._after_death(exit_code)
        elif self._is_stuck():
            self._process.kill()
            self._leave_out(self._mark.page, "extraction_timeout", "was stuck")
        return None

    def kill(self) -> None:
        """End the process at once, and remove what it was writing."""
        self._process.kill()
        self._end()

    def _start(self) -> None:
        context = get_context("spawn")
        # A fresh one each time: the last process may have died in the middle of whatever.
        self._mark, self._watch = PageMark(), PageWatch(self._stuck_after_s)
        self._pipe: Connection
        self._pipe, theirs = context.Pipe(duplex=False)
        workspace = self._workspace
        work = ShardWork(
            workspace.recipe,
            workspace.rebuild,
            self.shard,
            self._source,
            dict(self.skip),
            self._segment,
        )
        self._process = context.Process(
            target=work_on,
            args=(work, self._mark, theirs),
            name=f"segments {self.shard}",
            daemon=True,
        )
        with theirs, _one_polars_thread():
            self._process.start()
        self._resources = psutil.Process(self._process.pid)

    def _end(self) -> None:
        self._process.join(_EXIT_TIMEOUT_S)
        if self._process.exitcode is None:
            self._process.kill()
            self._process.join()
        self._pipe.close()
        folder = self._workspace.datasets.versions(SEGMENTS, self.shard).folder
        for path in temporary_paths(folder):
            if fnmatch.fnmatch(path.name, f"*-{self._process.pid}-*"):
                remove_path(path)

    def _listen(self) -> Manifest | None:
        """Take in what the process has said. Raises ShardError if it said that it failed."""
        try:
            while not self._pipe.closed and self._pipe.poll():
                kind, *words = json.loads(self._pipe.recv_bytes())
                if kind == "done":
                    return Manifest.model_validate_json(words[0])
                if kind == "failed":
                    name, message, errno = words
                    self._end()
                    raise ShardError(f"{name}: {message}", errno)
                self.n_pages, self.n_segments, self.last_header = words
        except (EOFError, ConnectionResetError):
            self._pipe.close()
        return None

    def _is_stuck(self) -> bool:
        page, place = self._mark.page, None
        try:
            with self._resources.oneshot():
                times = self._resources.cpu_times()
                asleep = self._resources.status() == psutil.STATUS_SLEEPING
            if page is not None:
                # One that reads on is past the page: looking for the next among other records.
                place = page, *(_read_so_far(self._resources, self._source))
        except psutil.Error:  # it is ending
            return False
        now_s, cpu_s = time.monotonic(), times.user + times.system
        return self._watch.is_stuck(place, now_s, cpu_s, asleep)

    def _after_death(self, exit_code: int) -> None:
        how = f"ended with {_exit_name(exit_code)}"
        if exit_code in _ENDED_FROM_OUTSIDE:
            self._end()
            raise ShardError(f"its process was ended from outside ({how}); run it again")
        self._leave_out(self._mark.page, "native_crash", how)

    def _leave_out(self, page: int | None, reason: str, how: str) -> None:
        """Begin again without `page`. Raises ShardError if that will not help."""
        self._end()
        if page is None or page in self.skip:
            raise ShardError(
                f"its process {how} while no page was being worked on (last offset "
                f"{self.position}); see its messages in the log above. Out of memory: lower "
                "corpus.processes or corpus.max_html_bytes."
            )
        self.skip[page] = reason
        logger.warning(
            "segments of %s: the process %s at the page at offset %s of %s; the page is left out "
            "(%s) and the shard begun again",
            *(self.shard, how, describe_place(page), self._source, reason),
        )
        if len(self.skip) > max(MAX_SKIPPED_PAGES, MAX_SKIPPED_SHARE * self.n_pages):
            raise ShardError(
                f"its process {how} at offset {describe_place(page)} of {self._source}, as "
                f"before at {len(self.skip) - 1} other pages: the file, the extractor or the "
                "machine is at fault, not single pages. Try the other corpus.extractor, or "
                "take the file out of the corpus."
            )
        self._start()


@contextlib.contextmanager
def _one_polars_thread() -> Iterator[None]:
    """Processes started in the block have one, unless the user has said how many.

    There are as many processes as cores; polars would start as many threads again in each. It
    looks when it is imported, before any code of the process could say so.
    """
    if POLARS_THREADS in os.environ:
        yield
        return
    os.environ[POLARS_THREADS] = "1"
    try:
        yield
    finally:
        os.environ.pop(POLARS_THREADS, None)


def _read_so_far(process: psutil.Process, source: Source) -> list[int]:
    """How far the process has read the file, by its place in it; nothing known of a URL."""
    if isinstance(source, str):
        return []
    path = str(source.resolve())
    return [getattr(file, "position", 0) for file in process.open_files() if file.path == path]


def _exit_name(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exit status {exit_code}"
    name = signal.Signals(-exit_code).name
    return f"{name}, often out of memory" if name == "SIGKILL" else name
