"""Shards in processes of their own: crashes and hangs cost one page, failures one shard."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from humpback_pipeline.progress import Progress
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.stages import Workspace, segment_processes, segment_progress, shard_process
from humpback_pipeline.stages.corpus import write_segments
from humpback_pipeline.stages.page_mark import PageMark, PageWatch
from humpback_pipeline.stages.segment_processes import SegmentingError, write_all_segments
from humpback_pipeline.storage.atomic import temporary_paths
from humpback_pipeline.web import NotAWarcError, Segment, ShardReport, ShardSegments
from humpback_pipeline.web.page_places import page_place
from humpback_pipeline.web.shard import DropSample

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
    "term": lambda: os.kill(os.getpid(), signal.SIGTERM),
    "sleep": _sleep_in_native_code,
    "spin": lambda: re.fullmatch(r"(a+)+b", "a" * 64),
}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    for name in [name for name in os.environ if name.startswith("HUMPBACK_")]:
        monkeypatch.delenv(name)
    (tmp_path / "warc").mkdir()
    return open_workspace(tmp_path)


def open_workspace(folder: Path, **corpus: str) -> Workspace:
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


def test_page_that_kills_its_process_is_left_out_and_counted(workspace: Workspace) -> None:
    write_script(workspace, "bad", "page", "crash", "page", "crash", "page")
    write_script(workspace, "good", "page", "page")
    made = cut(workspace, "bad", "good")
    facts = made["bad"].facts
    assert ids(workspace, "bad") == ["bad-0", "bad-2", "bad-4"]
    assert facts["document_drops"] == {"native_crash": 2}
    assert facts["skipped_pages"] == {"1000": "native_crash", "3000": "native_crash"}
    samples = facts["drop_samples"]["native_crash"]
    assert [sample["document_id"] for sample in samples] == ["page-1", "page-3"]
    assert ids(workspace, "good") == ["good-0", "good-1"]
    assert made["good"].facts["skipped_pages"] == {}
    assert not list(temporary_paths(workspace.home))


@pytest.mark.parametrize("hang", ["sleep", "spin"])
def test_page_that_hangs_in_native_code_is_left_out_and_counted(
    workspace: Workspace, hang: str
) -> None:
    write_script(workspace, "a", "page", hang, "page")
    facts = cut(workspace, "a", stuck_after_s=1.0)["a"].facts
    assert ids(workspace, "a") == ["a-0", "a-2"]
    assert facts["document_drops"] == {"extraction_timeout": 1}
    assert facts["skipped_pages"] == {"1000": "extraction_timeout"}


def test_page_that_waits_for_the_machine_is_not_stuck() -> None:
    watch = PageWatch(limit_s=10.0)
    seconds = range(0, 100, 2)
    # A tenth of a core: 5 s of CPU time in 50 s, never asleep.
    assert not any(watch.is_stuck(7, float(s), s / 10, asleep=False) for s in seconds[:25])
    assert watch.is_stuck(7, 150.0, 15.1, asleep=False)


def test_page_is_stuck_once_it_has_slept_or_worked_long_enough_at_one_place() -> None:
    working, sleeping, reading = PageWatch(10.0), PageWatch(10.0), PageWatch(10.0)
    work = [working.is_stuck(7, float(s), float(s), asleep=False) for s in range(13)]
    sleep = [sleeping.is_stuck(7, float(s), 3.0, asleep=True) for s in range(13)]
    read = [reading.is_stuck((7, s), float(s), float(s), asleep=False) for s in range(60)]
    assert work.index(True) == sleep.index(True) == 11
    assert not any(read)
    assert not any(reading.is_stuck(None, float(s), float(s), asleep=True) for s in range(60, 90))


def test_time_in_which_both_processes_were_stopped_is_no_hang() -> None:
    watch = PageWatch(10.0)
    assert not watch.is_stuck(7, 0.0, 1.0, asleep=True)
    assert not watch.is_stuck(7, 3_600.0, 1.0, asleep=True)


def test_mark_keeps_its_place_and_blames_no_page_between_two() -> None:
    mark = PageMark()
    assert (mark.page, mark.position) == (None, 0)
    mark.at(0)
    assert mark.page == 0
    place = page_place(5_000_000_000, nth=3)
    mark.at(place)
    with mark.paused():
        assert (mark.page, mark.position) == (None, 5_000_000_000)
    assert mark.page == place
    mark.at(-1)
    assert (mark.page, mark.position) == (None, 5_000_000_000)


def test_shard_of_nothing_but_crashes_fails_and_says_so(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shard_process, "MAX_SKIPPED_PAGES", 2)
    write_script(workspace, "bad", *["crash"] * 9)
    with pytest.raises(SegmentingError, match=r"bad: .*SIGSEGV at offset 2000 .* 2 other pages"):
        cut(workspace, "bad")


def test_failed_shards_are_all_named_and_the_others_finished(workspace: Workspace) -> None:
    write_script(workspace, "broken", "refuse")
    write_script(workspace, "ended", "page", "term")
    write_script(workspace, "early", "silent")
    write_script(workspace, "good", "slow", "page")
    shards = ["broken", "ended", "absent", "early", "good"]
    made: dict[str, Any] = {}
    with pytest.raises(SegmentingError) as caught:
        made.update(write_all_segments(workspace, shards, segment=scripted))
    message = str(caught.value)
    assert set(caught.value.failures) == {"broken", "ended", "absent", "early"}
    assert "4 of 5 shards gave no segments; the others are finished" in message
    assert "- broken: NotAWarcError: " in message
    assert "download it again" in message
    assert "- ended: its process was ended from outside" in message
    assert "- absent: LookupError: " in message
    assert "exit status 3 while no page was being worked on" in message
    assert ids(workspace, "good") == ["good-0", "good-1"]


def test_failure_of_a_disk_is_the_cause_for_whoever_tries_again(workspace: Workspace) -> None:
    failures = {
        "a": shard_process.ShardError("NotAWarcError: no"),
        "b": shard_process.ShardError("OSError: stale", 116),
        "c": shard_process.ShardError("OSError: gone", 2),
    }
    first = segment_processes._io_errors(failures)
    assert isinstance(first, OSError)
    assert isinstance(first.__cause__, OSError)
    assert {first.errno, first.__cause__.errno} == {116, 2}


def test_processes_write_what_one_process_would(workspace: Workspace) -> None:
    place = workspace.recipe.corpus.warc_dir
    assert isinstance(place, Path)
    for name in ("clueweb22-en0000-00", "web-00000"):
        shutil.copy(PACKAGE_DIR / "examples" / "warc" / f"{name}.warc.gz", place)
    made = dict(write_all_segments(workspace, ["clueweb22-en0000-00", "web-00000"]))
    again = replace(workspace, rebuild=True)
    for shard, manifest in made.items():
        alone = write_segments(again, shard)
        assert alone.version != manifest.version
        assert alone.content_hash == manifest.content_hash
        assert alone.rows == manifest.rows > 20
        kept = {"elapsed_s"}
        assert {n: v for n, v in alone.facts.items() if n not in kept} == {
            n: v for n, v in manifest.facts.items() if n not in kept
        }


def test_finished_shards_are_not_cut_again(workspace: Workspace) -> None:
    write_script(workspace, "a", "page")
    first = cut(workspace, "a")["a"]

    def fail(*_: Any) -> None:
        raise AssertionError("a process was started")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segment_processes, "ShardProcess", fail)
        assert cut(workspace, "a")["a"] == first


def test_largest_shards_go_first_as_many_at_once_as_the_recipe_says(tmp_path: Path) -> None:
    (tmp_path / "warc").mkdir()
    workspace = open_workspace(tmp_path, processes="1")
    for shard, n_pages in {"small": 1, "large": 9, "middle": 4}.items():
        write_script(workspace, shard, *["page"] * n_pages)
    assert list(cut(workspace, "small", "large", "middle")) == ["large", "middle", "small"]


def test_progress_of_all_is_one_line_with_rate_and_time_left(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_progress, "EVERY_S", 0.5)
    write_script(workspace, "a", *["slow"] * 5)
    write_script(workspace, "b", *["slow"] * 2)
    told: list[Progress] = []
    cut(workspace, "a", "b", on_progress=told.append)
    assert {p.stage for p in told} == {"segments of 2 shards"}
    assert [p.done for p in told] == sorted(p.done for p in told)
    assert 2 <= len(told) <= 2 + told[-1].elapsed_s / 0.5
    running = [p for p in told[:-1] if p.done]
    assert running
    for p in running:
        assert (p.total, p.unit) == (7, "kB")
        assert p.eta_s is not None
        assert "of 2 shards done" in p.detail
        assert re.search(r"a \d+%, last: a-\d", p.detail)
    assert told[-1].done == told[-1].total
    assert "7 pages" in told[-1].detail


def test_interrupt_ends_the_processes_at_once_and_leaves_nothing(workspace: Workspace) -> None:
    write_script(workspace, "a", "page", "sleep")

    def interrupt(_: Progress) -> None:
        if any(temporary_paths(workspace.home)):
            raise KeyboardInterrupt

    before = Counter(child.pid for child in psutil.Process().children())
    started_s = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        cut(workspace, "a", on_progress=interrupt)
    assert time.monotonic() - started_s < 8.0
    names = [c for c in psutil.Process().children() if c.pid not in before]
    assert not [child for child in names if "spawn_main" in " ".join(child.cmdline())]
    assert not list(temporary_paths(workspace.home))


PARENT = """
import sys
from pathlib import Path
from test_corpus_processes import cut, open_workspace
if __name__ == "__main__":
    cut(open_workspace(Path(sys.argv[1])), "a")
"""


def test_processes_end_with_a_parent_that_is_killed(workspace: Workspace, tmp_path: Path) -> None:
    write_script(workspace, "a", "sleep")
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(tmp_path)], env=environment)
    try:
        deadline_s = time.monotonic() + 30.0
        while not any(temporary_paths(workspace.home)):  # its worker has begun to write
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        time.sleep(0.3)  # and sleeps in native code, holding the interpreter's lock
        children = psutil.Process(parent.pid).children(recursive=True)
        assert children
    finally:
        parent.kill()
        parent.wait()
    _, alive = psutil.wait_procs(children, timeout=5.0)
    for child in alive:
        child.kill()
    assert not alive
