"""Shards in processes of their own: crashes and hangs cost one page, failures one shard."""

from __future__ import annotations

import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from scripted_shards import cut, ids, open_workspace, scripted, write_script

from humpback_pipeline.recipe_section import PACKAGE_DIR
from humpback_pipeline.stages import Workspace, segment_processes, shard_process
from humpback_pipeline.stages.corpus import write_segments
from humpback_pipeline.stages.segment_processes import SegmentingError, write_all_segments
from humpback_pipeline.storage.atomic import temporary_paths


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return open_workspace(tmp_path)


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


@pytest.mark.parametrize("how", ["ignored", "blocked"])
def test_shard_can_be_ended_where_the_parent_does_not_hear_the_signal(
    workspace: Workspace, how: str
) -> None:
    write_script(workspace, "ended", "page", "term")
    before = signal.getsignal(signal.SIGTERM)
    if how == "ignored":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    try:
        with pytest.raises(SegmentingError, match="ended from outside"):
            dict(write_all_segments(workspace, ["ended"], segment=scripted))
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        signal.signal(signal.SIGTERM, before)


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
    workspace = open_workspace(tmp_path, processes="1")
    for shard, n_pages in {"small": 1, "large": 9, "middle": 4}.items():
        write_script(workspace, shard, *["page"] * n_pages)
    assert list(cut(workspace, "small", "large", "middle")) == ["large", "middle", "small"]
