"""The seed sensor: content decides, one run for each change, broken data launch nothing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import dagster as dg
import pytest
from dagster._core.execution.backfill import BulkActionStatus, PartitionBackfill
from sensed import PAIRS, Sensed, Status, make_run

from humpback_pipeline.automation.observation import SourceUnusableError
from humpback_pipeline.automation.partitions import WARC_SHARDS
from humpback_pipeline.automation.sensors import RANGE_END_TAG, RANGE_START_TAG, build_sensors
from humpback_pipeline.automation.tags import PRIORITY_TAG, REASON_TAG, TRIGGER_TAG
from humpback_pipeline.seeds import seed_content_hash
from humpback_pipeline.stages.sources import SEED_DATA

SEED_DATA_KEY = dg.AssetKey("seed_data")
A, B, C = PAIRS, PAIRS[:-1], PAIRS[:-2]


@pytest.fixture(scope="module")
def shared_instance() -> Iterator[dg.DagsterInstance]:
    """In memory, which is quicker; only requests of one partition need one on disk."""
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def ready(sensed: Sensed) -> Sensed:
    """Three shards with segments, `seed_pairs` made from content A, one look taken."""
    sensed.pretend_segmented("a", "b", "c")
    sensed.read_seeds()
    assert sensed.look().skip == "seed data unchanged"
    return sensed


def observations(sensed: Sensed) -> list[dg.AssetObservation]:
    records = sensed.instance.fetch_observations(SEED_DATA_KEY, limit=50).records
    return [record.asset_observation for record in records if record.asset_observation]


def test_first_look_only_remembers_when_nothing_was_ever_made(sensed: Sensed) -> None:
    sensed.pretend_segmented("a")
    assert "was never made" in sensed.look().skip
    sensed.write_pairs(B)
    assert "was never made" in sensed.look().skip
    newest = observations(sensed)[0]
    assert newest.tags["dagster/data_version"] == seed_content_hash(sensed.seeds)
    assert not sensed.instance.get_runs()


def test_touched_file_of_the_same_content_launches_nothing(ready: Sensed) -> None:
    os.utime(ready.seeds, (1, 1))
    assert ready.look().skip == "seed data unchanged"
    ready.write_pairs(A)
    assert ready.look().skip == "seed data unchanged"
    assert len(observations(ready)) == 1


def test_same_size_and_time_with_other_content_launches(ready: Sensed) -> None:
    status = ready.seeds.stat()
    text = ready.seeds.read_text()
    ready.seeds.write_text(text.replace("number 7", "number 8", 1))
    os.utime(ready.seeds, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert ready.seeds.stat().st_size == status.st_size
    assert len(ready.look().runs) == 1


def test_change_launches_one_run_of_what_depends_on_the_seeds_over_all_shards(
    ready: Sensed,
) -> None:
    ready.write_pairs(B)
    (run,) = ready.look().runs
    assert run.job_name == "after_seed_change"
    assert (run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG]) == ("a", "c")
    assert (run.tags[TRIGGER_TAG], run.tags[PRIORITY_TAG]) == ("seed_change", "-1")
    assert "0 pairs added, 1 removed, 0 changed" in run.tags[REASON_TAG]
    assert f"waits, as run {run.run_id[:8]}" in ready.look().skip
    ready.run_through(run)
    assert ready.look().skip == "seed data unchanged"
    assert len(ready.instance.get_runs()) == 1


def test_going_back_and_forth_launches_a_run_each_time(ready: Sensed) -> None:
    for pairs in (B, A, B, A):
        ready.write_pairs(pairs)
        (run,) = ready.look().runs
        ready.run_through(run)
        assert ready.look().skip == "seed data unchanged"
    assert len(ready.instance.get_runs()) == 4


def test_edits_during_a_run_are_coalesced_into_one_more(ready: Sensed) -> None:
    ready.write_pairs(B)
    (first,) = ready.look().runs
    ready.read_seeds()
    for pairs in (C, PAIRS[3:], PAIRS[4:]):
        ready.write_pairs(pairs)
        assert f"run {first.run_id[:8]} of after_seed_change is in progress" in ready.look().skip
    ready.finish(first)
    (second,) = ready.look().runs
    ready.run_through(second)
    assert ready.look().skip == "seed data unchanged"
    assert seed_content_hash(ready.seeds) == (
        next(iter(ready.workspace.datasets.manifest("seed_pairs").provenance.seed_files.values()))
    )
    assert len(ready.instance.get_runs()) == 2


def test_content_that_the_run_in_progress_has_read_needs_no_other(ready: Sensed) -> None:
    ready.write_pairs(B)
    (run,) = ready.look().runs
    ready.write_pairs(C)
    ready.look()
    # It was queued, and reads what is there when it starts.
    ready.run_through(run)
    assert ready.look().skip == "seed data unchanged"


def test_edit_back_to_the_launched_content_is_not_lost_when_the_run_read_another(
    ready: Sensed,
) -> None:
    ready.write_pairs(B)
    (run,) = ready.look().runs
    ready.write_pairs(C)
    ready.read_seeds()
    ready.write_pairs(B)
    assert ready.look().runs == []
    ready.finish(run)
    assert len(ready.look().runs) == 1


@pytest.mark.parametrize("job", ["__ASSET_JOB", "humpback", "iteration_1", "after_new_shard"])
def test_any_run_in_progress_is_waited_for(ready: Sensed, job: str) -> None:
    other = make_run(ready.instance, job, Status.STARTED)
    ready.write_pairs(B)
    assert f"run {other.run_id[:8]}" in ready.look().skip
    ready.finish(other)
    assert len(ready.look().runs) == 1


def test_run_of_another_project_on_the_instance_is_not_waited_for(ready: Sensed) -> None:
    make_run(ready.instance, "somebody_elses", Status.STARTED)
    ready.write_pairs(B)
    assert len(ready.look().runs) == 1


def test_backfill_is_waited_for_between_its_runs(ready: Sensed) -> None:
    backfill = PartitionBackfill(
        "abcdefgh", BulkActionStatus.REQUESTED, False, {}, time.time(), partition_names=[]
    )
    ready.instance.add_backfill(backfill)
    ready.write_pairs(B)
    assert "waits, as backfill abcdefgh is in progress" in ready.look().skip
    ready.instance.update_backfill(backfill.with_status(BulkActionStatus.COMPLETED_SUCCESS))
    assert len(ready.look().runs) == 1


def test_killed_run_that_will_be_retried_counts_as_in_progress(ready: Sensed) -> None:
    tags = {"dagster/will_retry": "true"}
    make_run(ready.instance, "humpback", Status.FAILURE, tags)
    ready.write_pairs(B)
    assert "about to be launched again" in ready.look().skip


def test_failed_run_is_not_launched_again_until_the_content_changes(ready: Sensed) -> None:
    ready.write_pairs(B)
    (run,) = ready.look().runs
    ready.finish(run, Status.FAILURE)
    assert "re-execute" in ready.look().skip
    assert "re-execute" in ready.look().skip
    ready.write_pairs(C)
    assert len(ready.look().runs) == 1


def test_edit_back_to_what_the_graph_is_made_from_launches_nothing(ready: Sensed) -> None:
    ready.write_pairs(B)
    (run,) = ready.look().runs
    ready.finish(run, Status.CANCELED)
    ready.write_pairs(A)
    assert ready.look().skip == "seed data unchanged"
    ready.write_pairs(B)
    assert len(ready.look().runs) == 1


def test_daemon_killed_before_it_saved_the_cursor_makes_no_second_run(ready: Sensed) -> None:
    ready.write_pairs(B)
    before = ready.cursors["seed_data_sensor"]
    (run,) = ready.look().runs
    ready.cursors["seed_data_sensor"] = before
    assert ready.look().runs == []
    ready.finish(run, Status.FAILURE)
    assert ready.look().runs == []
    assert "re-execute" in ready.look().skip
    assert len(ready.instance.get_runs()) == 1


def test_edit_while_the_daemon_was_off_is_seen_at_the_first_look(sensed: Sensed) -> None:
    sensed.pretend_segmented("a")
    sensed.read_seeds()
    sensed.write_pairs(B)
    assert len(sensed.look().runs) == 1


def break_half_line(sensed: Sensed) -> None:
    sensed.write_pairs(B)
    with sensed.seeds.open("a") as file:
        file.write('{"instruction": "half a li')


def empty_file(sensed: Sensed) -> None:
    sensed.seeds.write_text("")


def remove_file(sensed: Sensed) -> None:
    sensed.seeds.unlink()


def rename_field(sensed: Sensed) -> None:
    sensed.write_pairs([{"topic": "What is it?", "output": "It."}])


@pytest.mark.parametrize("harm", [break_half_line, empty_file, remove_file, rename_field])
def test_broken_data_fail_the_tick_and_the_check_and_launch_nothing_until_mended(
    ready: Sensed, harm: Callable[[Sensed], None]
) -> None:
    harm(ready)
    for _ in range(2):
        with pytest.raises(SourceUnusableError, match=r"nothing launched.*seeds\.jsonl.*[Rr]emedy"):
            ready.look()
    broken = ready.check("seed_data_valid", "seed_data")
    assert broken is not None
    assert not broken.passed
    assert "seeds.jsonl" in str(broken.description)
    assert len(observations(ready)) == 1
    ready.write_pairs(A)
    assert ready.look().skip == "seed data unchanged"
    mended = ready.check("seed_data_valid", "seed_data")
    assert mended is not None
    assert mended.passed
    ready.write_pairs(B)
    assert len(ready.look().runs) == 1
    assert len(ready.instance.get_runs()) == 1


def test_broken_data_are_reported_once_for_each_content_with_line_and_field(
    ready: Sensed,
) -> None:
    contents = [[{"instruction": "What?"}], [{"instruction": "Who?"}]]
    for pairs in contents:
        ready.write_pairs([*B, *pairs])
        for _ in range(3):
            with pytest.raises(SourceUnusableError):
                ready.look()
    history = ready.instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(SEED_DATA_KEY, "seed_data_valid"), limit=10
    )
    failed = [record.evaluation for record in history if not record.evaluation.passed]
    assert len(failed) == 2
    assert failed[0].metadata["line"].value == len(B) + 1
    assert failed[0].metadata["field"].value == "output"
    assert failed[0].metadata["remedy"].value


def test_edit_that_mends_broken_data_differently_launches_one_run(ready: Sensed) -> None:
    break_half_line(ready)
    with pytest.raises(SourceUnusableError):
        ready.look()
    ready.write_pairs(C)
    assert len(ready.look().runs) == 1


def test_observation_shows_what_was_added_removed_and_changed(ready: Sensed) -> None:
    changed = {**PAIRS[0], "output": "One is the first of all numbers."}
    added = {"instruction": "Explain zero to a child.", "output": "Zero is nothing at all."}
    ready.write_pairs([changed, *PAIRS[2:], added])
    ready.look()
    metadata = observations(ready)[0].metadata
    assert [metadata[name].value for name in ("added", "removed", "changed")] == [1, 1, 1]
    assert "One is the first of all numbers" in metadata["diff"].value
    assert metadata["compared_with"].value != metadata["content_hash"].value
    snapshot = ready.workspace.datasets.read(SEED_DATA)
    assert set(snapshot["instruction"]) == {p["instruction"] for p in [*PAIRS[2:], changed, added]}


def test_reordered_pairs_are_a_new_version_without_a_difference(ready: Sensed) -> None:
    ready.write_pairs(PAIRS[::-1])
    assert len(ready.look().runs) == 1
    metadata = observations(ready)[0].metadata
    assert [metadata[name].value for name in ("added", "removed", "changed")] == [0, 0, 0]
    assert "same pairs" in metadata["diff"].value


def test_edit_in_progress_is_left_alone_until_it_settles(ready: Sensed) -> None:
    ready.write_recipe(settle_s=0.6)
    for n in (3, 4, 5):
        ready.write_pairs(PAIRS[n:])
        assert "edited just now" in ready.look().skip
        time.sleep(0.2)
    deadline_s = time.monotonic() + 5
    while not (runs := ready.look().runs) and time.monotonic() < deadline_s:
        time.sleep(0.1)
    assert len(runs) == 1
    ready.run_through(runs[0])
    assert ready.look().skip == "seed data unchanged"


def test_removed_file_counts_only_once_it_has_been_gone_for_a_while(ready: Sensed) -> None:
    ready.write_recipe(settle_s=0.4)
    text = ready.seeds.read_text()
    ready.seeds.unlink()
    assert "edited just now" in ready.look().skip
    ready.seeds.write_text(text)
    time.sleep(0.45)
    assert ready.look().skip == "seed data unchanged"
    ready.seeds.unlink()
    ready.look()
    time.sleep(0.45)
    with pytest.raises(SourceUnusableError, match="no such file"):
        ready.look()


def test_shard_without_segments_is_segmented_in_the_same_run(ready: Sensed) -> None:
    ready.add_warc("d")
    ready.instance.add_dynamic_partitions(WARC_SHARDS, ["d"])
    ready.write_pairs(B)
    (run,) = ready.look().runs
    assert (run.job_name, run.tags[RANGE_END_TAG]) == ("humpback", "d")


def test_shard_with_neither_file_nor_segments_fails_the_tick_with_a_remedy(ready: Sensed) -> None:
    ready.add_warc("a")
    ready.instance.add_dynamic_partitions(WARC_SHARDS, ["lost"])
    ready.write_pairs(B)
    with pytest.raises(SourceUnusableError, match="--forget lost"):
        ready.look()
    ready.instance.delete_dynamic_partition(WARC_SHARDS, "lost")
    assert len(ready.look().runs) == 1


def test_folder_of_seed_files_is_one_content(sensed: Sensed) -> None:
    folder = sensed.folder / "many"
    folder.mkdir()
    sensed.seeds.rename(folder / "one.jsonl")
    sensed.write_recipe()
    recipe = sensed.folder / "sensed.yaml"
    recipe.write_text(recipe.read_text().replace(str(sensed.seeds), str(folder)))
    sensed.pretend_segmented("a")
    sensed.read_seeds()
    assert sensed.look().skip == "seed data unchanged"
    (folder / "README.md").write_text("not data")
    assert sensed.look().skip == "seed data unchanged"
    (folder / "two.jsonl").write_text(
        '{"instruction": "Name a colour.", "output": "It is blue."}\n'
    )
    assert len(sensed.look().runs) == 1


@pytest.mark.parametrize("is_on", [True, False])
def test_recipe_decides_whether_and_how_often_sensors_look(sensed: Sensed, is_on: bool) -> None:
    sensed.write_recipe(seed_sensor=is_on, shard_sensor=is_on, look_every_s=7)
    for sensor in build_sensors(sensed.workspace.recipe):
        assert sensor.minimum_interval_seconds == 7
        assert (sensor.default_status == dg.DefaultSensorStatus.RUNNING) == is_on
