"""Progress of several shards at once, in one line: how much of all bytes, how fast, time left."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from humpback_pipeline.progress import OnProgress, Progress, one_line
from humpback_pipeline.stages.shard_process import ShardProcess
from humpback_pipeline.storage import Manifest

EVERY_S = 2.0
# Above it a line counts megabytes.
_SMALL_BYTES = 10_000_000
_N_NAMED = 3


@dataclass
class CrewProgress:
    """Tells `listener` of the work on the shards in `sizes` (shard → bytes; None: not known).

    Counts bytes where all sizes are known, for they give the time left, else pages.
    """

    sizes: Mapping[str, int | None]
    listener: OnProgress
    _done: list[str] = field(default_factory=list)
    _n_pages: int = 0
    _n_segments: int = 0
    _start_s: float = field(default_factory=time.monotonic)
    _told_s: float = 0.0

    def finished(self, shard: str, manifest: Manifest) -> None:
        """Count a shard that is done."""
        self._done.append(shard)
        self._n_pages += int(manifest.facts["n_documents"])
        self._n_segments += manifest.rows or 0

    def failed(self, shard: str) -> None:
        """Count a shard that gave nothing: nothing more is to be done for it."""
        self._done.append(shard)

    def tell(self, at_work: Sequence[ShardProcess]) -> None:
        """Say how far all is, if that has not been said just now; always at the end."""
        now_s = time.monotonic()
        is_end = not at_work and len(self._done) == len(self.sizes)
        if not is_end and now_s - self._told_s < EVERY_S:
            return
        self._told_s = now_s
        n_pages = self._n_pages + sum(process.n_pages for process in at_work)
        done, total, unit = self._measure(at_work, n_pages)
        if is_end:
            done = total if total is not None else done
            total = done
        stage = f"segments of {_names(self.sizes)}"
        detail = self._detail(at_work, n_pages, now_s - self._start_s)
        self.listener(Progress(stage, done, total, unit, now_s - self._start_s, detail))

    def _measure(
        self, at_work: Sequence[ShardProcess], n_pages: int
    ) -> tuple[int, int | None, str]:
        sizes = {shard: size for shard, size in self.sizes.items() if size is not None}
        if len(sizes) < len(self.sizes):
            return n_pages, None, "pages"
        total = sum(sizes.values())
        done = sum(sizes[shard] for shard in self._done)
        done += sum(min(process.position, sizes[process.shard]) for process in at_work)
        scale, unit = (1_000, "kB") if total < _SMALL_BYTES else (1_000_000, "MB")
        # Not at its end before it is: the last moment is told whatever the pace.
        return min(done, total - 1) // scale, -(-total // scale), unit

    def _detail(self, at_work: Sequence[ShardProcess], n_pages: int, elapsed_s: float) -> str:
        n_segments = self._n_segments + sum(process.n_segments for process in at_work)
        rate = f"{n_pages / elapsed_s:,.0f}" if elapsed_s > 0 else "0"
        parts = [f"{n_pages:,} pages ({rate}/s)", f"{n_segments:,} segments"]
        if len(self.sizes) > 1:
            parts.insert(0, f"{len(self._done):,} of {len(self.sizes):,} shards done")
        if n_skipped := sum(len(process.skip) for process in at_work):
            parts.append(f"{n_skipped} pages killed their process and are left out")
        parts += [part for process in at_work[:_N_NAMED] if (part := self._of_one(process))]
        return ", ".join(parts)

    def _of_one(self, process: ShardProcess) -> str:
        size = self.sizes[process.shard]
        share = f" {min(1.0, process.position / size):.0%}" if size else ""
        last = f", last: {one_line(process.last_header, 40)}" if process.last_header else ""
        if len(self.sizes) == 1:
            return last.removeprefix(", ")
        return f"{process.shard}{share}{last}"


def _names(shards: Collection[str]) -> str:
    return next(iter(shards)) if len(shards) == 1 else f"{len(shards)} shards"
