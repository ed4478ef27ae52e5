"""Shards whose file says, a word a page, what happens at each page: crashes, hangs, refusals."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.segment_processes import write_all_segments
from humpback_pipeline.web import NotAWarcError, Segment, ShardReport, ShardSegments
from humpback_pipeline.web.page_places import page_place
from humpback_pipeline.web.shard_report import DropSample

BYTES_PER_PAGE = 1_000


def scripted(
    path: Path,
    *,
    skip: Mapping[int, str],
    on_page: Callable[[int], None],
    on_progress: Callable[[ShardReport], None],
    **_: Any,
) -> ShardSegments:
    """A `segment_shard` whose file says, a word a page, what happens at each page."""
    words = path.read_text().split()
    if words[0] == "refuse":
        raise NotAWarcError(f"{path}: not a WARC file; download it again")
    report = ShardReport(path.name, "scripted")

    def segments() -> Iterator[Segment]:
        for number, word in enumerate(words):
            offset = number * BYTES_PER_PAGE
            place = page_place(offset)
            report.n_documents += 1
            if place in skip:
                reason = skip[place]
                report.document_drops[reason] += 1
                sample = DropSample(reason, f"page-{number}", f"https://a.example/{number}")
                report.drop_samples.setdefault(reason, []).append(sample)
                continue
            if word != "silent":
                on_page(place)
            ACTIONS[word]()
            report.n_segments += 1
            report.last_header = f"{path.stem}-{number}"
            yield _segment(f"{path.stem}-{number}", path, offset)
            on_progress(report)

    return ShardSegments(report, segments())


def _segment(name: str, path: Path, offset: int) -> Segment:
    text = f"## {name}\n\nText."
    date, where = None, (path.name, offset)
    return Segment(
        name, name, "https://a.example/", "en", name, 2, (name,), text, len(text), date, *where
    )


def _sleep_in_native_code() -> None:
    # PyDLL keeps the interpreter's lock: no signal handler and no other thread runs meanwhile.
    ctypes.PyDLL(None).sleep(600)


ACTIONS: dict[str, Callable[[], Any]] = {
    "page": lambda: None,
    "silent": lambda: os._exit(3),
    "slow": lambda: time.sleep(0.4),
    "crash": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    # Another thread may take the signal, and this one must not be done before that.
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM) or time.sleep(60),
    "sleep": _sleep_in_native_code,
    "spin": lambda: re.fullmatch(r"(a+)+b", "a" * 64),
}


def open_workspace(folder: Path, **corpus: str) -> Workspace:
    (folder / "warc").mkdir(exist_ok=True)
    fields = {f"corpus.{name}": value for name, value in corpus.items()}
    places = {"home": str(folder / "home"), "corpus.warc_dir": str(folder / "warc")}
    return Workspace(load_recipe("demo", {**places, **fields}))


def write_script(workspace: Workspace, shard: str, *words: str) -> None:
    place = workspace.recipe.corpus.warc_dir
    assert isinstance(place, Path)
    text = " ".join(words)
    # As many bytes as its pages' offsets claim, so that progress has something to measure.
    (place / f"{shard}.warc").write_text(text.ljust(len(words) * BYTES_PER_PAGE))


def cut(workspace: Workspace, *shards: str, **options: Any) -> dict[str, Any]:
    return dict(write_all_segments(workspace, shards, segment=scripted, **options))


def ids(workspace: Workspace, shard: str) -> list[str]:
    return list(workspace.datasets.read("clueweb_segments", shard)["segment_id"])
