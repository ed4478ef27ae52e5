"""The schedules: just what changed each night, everything each week, nothing if nothing changed."""

from __future__ import annotations

import dagster as dg
import pytest
from sensed import PAIRS, Sensed, Status, make_run

from humpback_pipeline.automation.observation import SourceUnusableError
from humpback_pipeline.automation.schedules import build_schedules, sources_tag
from humpback_pipeline.automation.sensors import RANGE_END_TAG, RANGE_START_TAG
from humpback_pipeline.automation.tags import PRIORITY_TAG, REASON_TAG, TRIGGER_TAG

CORPUS = {"clueweb_segments", "corpus_selection"}


def assets(run: dg.DagsterRun) -> set[str]:
    return {key.to_user_string() for key in run.asset_selection or ()}


def shards(run: dg.DagsterRun) -> tuple[str, str]:
    return run.tags[RANGE_START_TAG], run.tags[RANGE_END_TAG]


@pytest.fixture
def ready(sensed: Sensed) -> Sensed:
    """Two segmented shards, seed pairs made."""
    for key in ("a", "b"):
        sensed.add_warc(key)
    sensed.segment("a", "b")
    sensed.read_seeds()
    return sensed


def test_night_without_a_change_is_skipped_with_a_reason(ready: Sensed) -> None:
    assert ready.look_at_schedule("nightly").skip == "nothing changed: 2 WARC files"


def test_night_after_an_edit_runs_what_depends_on_the_seeds_over_all_shards(
    ready: Sensed,
) -> None:
    ready.write_pairs(PAIRS[2:])
    (run,) = ready.look_at_schedule("nightly").runs
    assert shards(run) == ("a", "b")
    assert {"seed_pairs", "m0", "augmented_set", "report"} <= assets(run)
    assert not CORPUS & assets(run)
    assert (run.tags[TRIGGER_TAG], run.tags[PRIORITY_TAG]) == ("nightly", "-5")
    assert "seed data changed" in run.tags[REASON_TAG]
    ready.run_through(run)
    assert ready.look_at_schedule("nightly").runs == []


def test_night_after_new_and_changed_files_segments_them_alone(ready: Sensed) -> None:
    ready.add_warc("a", pages="c")
    ready.add_warc("d")
    runs = ready.look_at_schedule("nightly").runs
    assert [shards(run) for run in runs] == [("a", "a"), ("d", "d")]
    assert all(assets(run) == CORPUS for run in runs)
    assert ready.registered == ["a", "b", "d"]


def test_night_after_both_is_one_run_of_everything(ready: Sensed) -> None:
    ready.write_pairs(PAIRS[2:])
    ready.add_warc("d")
    (run,) = ready.look_at_schedule("nightly").runs
    assert shards(run) == ("a", "d")
    assert assets(run) == set()
    assert "seed data changed" in run.tags[REASON_TAG]
    assert "new WARC files: d" in run.tags[REASON_TAG]


def test_night_waits_for_a_run_in_progress(ready: Sensed) -> None:
    make_run(ready.instance, "humpback")
    ready.write_pairs(PAIRS[2:])
    assert "is in progress; left to the next look" in ready.look_at_schedule("nightly").skip


def test_night_with_broken_seeds_fails_and_still_segments_new_files(ready: Sensed) -> None:
    ready.seeds.write_text('{"instruction": ')
    with pytest.raises(SourceUnusableError, match="nothing launched"):
        ready.look_at_schedule("nightly")
    ready.add_warc("d")
    (run,) = ready.look_at_schedule("nightly").runs
    assert assets(run) == CORPUS
    check = ready.check("seed_data_valid", "seed_data")
    assert check is not None
    assert not check.passed


def test_night_before_anything_was_made_leaves_the_seeds_alone(sensed: Sensed) -> None:
    assert sensed.look_at_schedule("nightly").skip.startswith("nothing changed")


def test_week_runs_everything_until_nothing_has_changed_since(ready: Sensed) -> None:
    (first,) = ready.look_at_schedule("weekly").runs
    assert shards(first) == ("a", "b")
    assert assets(first) == set()
    assert (first.tags[TRIGGER_TAG], first.tags[PRIORITY_TAG]) == ("weekly", "-5")
    assert "is in progress" in ready.look_at_schedule("weekly").skip
    ready.finish(first)
    assert "nothing changed since run" in ready.look_at_schedule("weekly").skip
    failed = make_run(ready.instance, "after_seed_change")
    ready.finish(failed, Status.FAILURE)
    assert len(ready.look_at_schedule("weekly").runs) == 1


@pytest.mark.parametrize("change", ["seeds", "warc", "recipe", "partition"])
def test_week_after_any_change_runs_everything(ready: Sensed, change: str) -> None:
    (first,) = ready.look_at_schedule("weekly").runs
    ready.finish(first)
    if change == "seeds":
        ready.write_pairs(PAIRS[1:])
    elif change == "warc":
        ready.add_warc("a", pages="c")
    elif change == "recipe":
        recipe = ready.folder / "sensed.yaml"
        recipe.write_text(recipe.read_text().replace("name: sensed", "name: other"))
    else:
        ready.add_warc("d")
        ready.segment("d")
    assert len(ready.look_at_schedule("weekly").runs) == 1


def test_week_counts_a_successful_run_by_hand_that_carries_the_tag(ready: Sensed) -> None:
    tags = sources_tag(ready.workspace, ready.registered)
    ready.finish(make_run(ready.instance, "humpback", tags=tags))
    assert "nothing changed since run" in ready.look_at_schedule("weekly").skip


@pytest.mark.parametrize("is_on", [True, False])
def test_recipe_decides_when_schedules_run_and_whether(sensed: Sensed, is_on: bool) -> None:
    plan = {"enabled": is_on, "cron": "5 4 * * 3"}
    sensed.write_recipe(nightly=plan, weekly=plan, timezone="Europe/Zurich")
    for schedule in build_schedules(sensed.workspace.recipe):
        assert schedule.cron_schedule == "5 4 * * 3"
        assert schedule.execution_timezone == "Europe/Zurich"
        assert (schedule.default_status == dg.DefaultScheduleStatus.RUNNING) == is_on
