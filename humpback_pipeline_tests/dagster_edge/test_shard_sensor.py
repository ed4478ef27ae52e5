"""The shard sensor: new and changed WARC files run alone, others are reported and left."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import dagster as dg
import pytest
from sensed import Sensed, Status, Tick, has_segments, make_run

from humpback_pipeline.automation.observation import SourceUnusableError
from humpback_pipeline.automation.partitions import (
    WARC_SHARDS,
    contiguous_groups,
    register_new_shards,
    register_shards,
)
from humpback_pipeline.automation.sensors import RANGE_END_TAG, RANGE_START_TAG
from humpback_pipeline.automation.tags import PRIORITY_TAG, REASON_TAG, TRIGGER_TAG
from humpback_pipeline.stages import warc_files
from humpback_pipeline.stages.warc_files import removed_shards
from humpback_pipeline.storage import hash_file

PARTITION_TAG = "dagster/partition"


def look(sensed: Sensed) -> Tick:
    return sensed.look("warc_shards_sensor")


def shards_of(run: dg.DagsterRun) -> tuple[str, str]:
    if PARTITION_TAG in run.tags:
        return run.tags[PARTITION_TAG], run.tags[PARTITION_TAG]
    return run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG]


@pytest.fixture
def ready(sensed: Sensed) -> Sensed:
    """Two shards that are segmented."""
    for key in ("a", "b"):
        sensed.add_warc(key)
    sensed.segment("a", "b")
    assert look(sensed).skip == "nothing new: 2 WARC files"
    return sensed


def test_new_files_become_partitions_and_run_as_one_range(sensed: Sensed) -> None:
    for key in ("c", "a", "b"):
        sensed.add_warc(key)
    (run,) = look(sensed).runs
    assert sensed.registered == ["a", "b", "c"]
    assert (run.job_name, shards_of(run)) == ("after_new_shard", ("a", "c"))
    assert (run.tags[TRIGGER_TAG], run.tags[PRIORITY_TAG]) == ("new_shard", "-2")
    assert run.tags[REASON_TAG] == "new WARC files: a, b, c"
    assert look(sensed).runs == []


def test_one_new_file_runs_as_its_partition_alone(ready: Sensed) -> None:
    ready.add_warc("c")
    (run,) = look(ready).runs
    assert run.tags[PARTITION_TAG] == "c"
    assert RANGE_START_TAG not in run.tags
    ready.segment("c", register=False)
    ready.finish(run)
    assert look(ready).skip == "nothing new: 3 WARC files"
    assert len(ready.instance.get_runs()) == 1


def test_changed_content_runs_again_and_touched_files_do_not(ready: Sensed) -> None:
    os.utime(ready.warc_dir / "a.warc.gz")
    assert look(ready).runs == []
    status = (ready.warc_dir / "b.warc.gz").stat()
    ready.add_warc("b", pages="d")
    os.utime(ready.warc_dir / "b.warc.gz", ns=(status.st_atime_ns, status.st_mtime_ns))
    (run,) = look(ready).runs
    assert shards_of(run) == ("b", "b")
    assert run.tags[REASON_TAG] == "changed WARC files: b"
    ready.segment("b", register=False)
    ready.finish(run)
    assert look(ready).runs == []


def test_shards_apart_from_each_other_are_runs_of_their_own(sensed: Sensed) -> None:
    for key in ("a", "b", "c"):
        sensed.add_warc(key)
    sensed.segment("a", "b", "c")
    sensed.add_warc("a", pages="b")
    sensed.add_warc("c", pages="d")
    sensed.add_warc("d")
    runs = look(sensed).runs
    assert [shards_of(run) for run in runs] == [("a", "a"), ("c", "d")]


def test_registered_partition_without_segments_is_run(ready: Sensed) -> None:
    ready.add_warc("c")
    ready.instance.add_dynamic_partitions(WARC_SHARDS, ["c"])
    (run,) = look(ready).runs
    assert shards_of(run) == ("c", "c")


def test_failed_run_is_not_repeated_until_the_content_changes(ready: Sensed) -> None:
    path = ready.add_warc("c")
    (run,) = look(ready).runs
    ready.finish(run, Status.FAILURE)
    assert look(ready).runs == []
    os.utime(path)
    assert look(ready).runs == []
    ready.add_warc("c", pages="d")
    (again,) = look(ready).runs
    assert shards_of(again) == ("c", "c")


def test_failed_shard_does_not_keep_new_ones_from_running(ready: Sensed) -> None:
    ready.add_warc("c")
    (run,) = look(ready).runs
    ready.finish(run, Status.FAILURE)
    ready.add_warc("d")
    (other,) = look(ready).runs
    assert shards_of(other) == ("d", "d")


def test_daemon_killed_before_it_saved_the_cursor_makes_no_second_run(ready: Sensed) -> None:
    ready.add_warc("c")
    before = ready.cursors["warc_shards_sensor"]
    (run,) = look(ready).runs
    ready.cursors["warc_shards_sensor"] = before
    assert "waits" in look(ready).skip
    ready.finish(run, Status.FAILURE)
    assert look(ready).runs == []
    assert len(ready.instance.get_runs()) == 1


def test_new_file_waits_for_a_run_in_progress_and_is_registered_after_it(ready: Sensed) -> None:
    run = make_run(ready.instance, "humpback")
    ready.add_warc("c")
    skipped = look(ready)
    assert skipped.skip.startswith("new WARC files: c; waits, as run")
    assert ready.registered == ["a", "b"]
    ready.finish(run)
    assert len(look(ready).runs) == 1


def test_file_still_being_copied_waits(ready: Sensed) -> None:
    ready.write_recipe(settle_s=0.5)
    content = ready.add_warc("c").read_bytes()
    path = ready.warc_dir / "c.warc.gz"
    for share in (3, 2, 1):
        path.write_bytes(content[: len(content) // share])
        assert "1 still being written" in look(ready).skip
        time.sleep(0.2)
    time.sleep(0.4)
    assert len(look(ready).runs) == 1


def test_file_that_is_no_warc_is_reported_and_the_others_go_on(ready: Sensed) -> None:
    (ready.warc_dir / "page.warc.gz").write_bytes(b"<html>no archive</html>")
    (ready.warc_dir / "empty.warc").write_bytes(b"")
    ready.add_warc("c")
    (run,) = look(ready).runs
    assert shards_of(run) == ("c", "c")
    assert ready.registered == ["a", "b", "c"]
    check = ready.check("warc_files_readable")
    assert check is not None
    assert not check.passed
    assert set(check.metadata["unreadable"].value) == {"empty", "page"}
    for name in ("page.warc.gz", "empty.warc"):
        (ready.warc_dir / name).unlink()
    look(ready)
    mended = ready.check("warc_files_readable")
    assert mended is not None
    assert mended.passed


def test_removed_file_is_reported_once_and_its_partition_kept(ready: Sensed) -> None:
    (ready.warc_dir / "a.warc.gz").rename(ready.folder / "away")
    for _ in range(3):
        assert look(ready).skip == "nothing new: 1 WARC files, 1 gone"
    assert ready.registered == ["a", "b"]
    history = ready.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey("clueweb_segments"), "warc_files_present"), limit=10
    )
    assert [record.evaluation.passed for record in history] == [False, True]
    check = history[0].evaluation
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert check.metadata["missing"].value == ["a"]
    assert "--forget" in str(check.description)
    (ready.folder / "away").rename(ready.warc_dir / "a.warc.gz")
    assert look(ready).skip == "nothing new: 2 WARC files"
    assert ready.check("warc_files_present").passed  # type: ignore[union-attr]


def test_partition_deleted_by_the_user_stays_deleted_while_its_file_is_gone(ready: Sensed) -> None:
    path = ready.warc_dir / "a.warc.gz"
    path.rename(ready.folder / "away")
    look(ready)
    ready.instance.delete_dynamic_partition(WARC_SHARDS, "a")
    assert look(ready).skip == "nothing new: 1 WARC files"
    assert ready.registered == ["b"]
    assert ready.check("warc_files_present").passed  # type: ignore[union-attr]
    (ready.folder / "away").rename(path)
    assert len(look(ready).runs) == 1
    assert ready.registered == ["b", "a"]


def test_emptied_folder_reports_all_files_and_a_missing_one_fails_the_tick(ready: Sensed) -> None:
    for path in ready.warc_dir.iterdir():
        path.unlink()
    assert look(ready).skip == "nothing new: 0 WARC files, 2 gone"
    ready.warc_dir.rmdir()
    with pytest.raises(SourceUnusableError, match="no such folder"):
        look(ready)
    check = ready.check("warc_files_present")
    assert check is not None
    assert check.metadata["missing"].value == ["a", "b"]


def test_two_files_of_one_key_fail_the_tick(ready: Sensed) -> None:
    shutil.copy(ready.warc_dir / "a.warc.gz", ready.warc_dir / "a.warc")
    with pytest.raises(SourceUnusableError, match="same name"):
        look(ready)


def test_files_are_hashed_within_the_budget_and_the_rest_later(ready: Sensed) -> None:
    for key in ("a", "b"):
        os.utime(ready.warc_dir / f"{key}.warc.gz")
    survey = warc_files.survey_shards(ready.workspace, ready.registered, budget_s=0.0)
    assert [shard.state for shard in survey] == ["unknown", "unknown"]
    ready.add_warc("a", pages="d")
    survey = warc_files.survey_shards(ready.workspace, ready.registered, budget_s=5.0)
    assert [shard.state for shard in survey] == ["changed", "same"]


def test_large_file_is_read_once_over_several_looks_and_does_not_hold_up_others(
    ready: Sensed, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def slow_for_a(path: Path) -> str:
        read.append(path.name)
        time.sleep(0.6 if path.name.startswith("a") else 0.0)
        return hash_file(path)

    monkeypatch.setattr("humpback_pipeline.storage.file_hashes.hash_file", slow_for_a)
    for key in ("a", "b"):
        os.utime(ready.warc_dir / f"{key}.warc.gz")
    states = []
    for budget_s in (0.1, 0.1, 5.0):
        survey = warc_files.survey_shards(ready.workspace, ready.registered, budget_s)
        states.append([shard.state for shard in survey])
    assert states == [["unknown", "unknown"], ["unknown", "same"], ["same", "same"]]
    assert sorted(read) == ["a.warc.gz", "b.warc.gz"]


def test_partitions_can_be_shown_before_anything_runs(sensed: Sensed) -> None:
    sensed.add_warc("b")
    sensed.add_warc("a")
    (sensed.warc_dir / "junk.warc").write_text("junk")
    assert register_new_shards(sensed.instance, sensed.workspace) == ["a", "b"]
    assert register_new_shards(sensed.instance, sensed.workspace) == []
    assert sensed.registered == ["a", "b"]
    assert not has_segments(sensed, "a")
    (sensed.warc_dir / "a.warc.gz").unlink()
    assert register_new_shards(sensed.instance, sensed.workspace) == []
    assert sensed.registered == ["a", "b"]


def test_registering_keeps_removed_files_of_this_folder_and_drops_other_corpora(
    ready: Sensed,
) -> None:
    ready.pretend_segmented("other")
    workspace = ready.workspace
    manifest = workspace.datasets.manifest("clueweb_segments", "other")
    assert manifest.facts["warc_file"].startswith(str(ready.warc_dir))
    (ready.warc_dir / "a.warc.gz").unlink()
    assert removed_shards(workspace, ready.registered) == ["a", "other"]
    elsewhere = {"warc_file": "/another/corpus/other.warc.gz"}
    workspace.datasets.write("clueweb_segments", [], schema={}, partition="other", facts=elsewhere)
    keep = removed_shards(workspace, ready.registered)
    assert keep == ["a"]
    added, removed = register_shards(ready.instance, list(workspace.shards()), keep)
    assert (added, removed) == ([], ["other"])
    assert ready.registered == ["a", "b"]


@pytest.mark.parametrize(
    ("keys", "groups"),
    [
        ("", []),
        ("abcd", [["a", "b", "c", "d"]]),
        ("bd", [["b"], ["d"]]),
        ("dcaz", [["a"], ["c", "d"]]),
    ],
)
def test_ranges_follow_the_order_of_registration(keys: str, groups: list[list[str]]) -> None:
    assert contiguous_groups(set(keys), list("abcd")) == groups
