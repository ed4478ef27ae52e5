"""The sensors as they run for a user: real daemon, real webserver, real runs of the whole graph.

The tests share one UI and build on each other, as a day of edits does.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from live_ui import RANGE_END, RANGE_START, LiveUi, Status
from projects import CLUEWEB22, WEB, cut_warc, read_jsonl, write_jsonl

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]
SHARDS = {"garden.warc.gz": (WEB, 0, 1), "soils.warc.gz": (CLUEWEB22, 0, 1)}
SEED_SENSOR, SHARD_SENSOR = "seed_data_sensor", "warc_shards_sensor"
TRIGGER = "humpback/trigger"
# A hang guard; on two idle cores the whole graph takes half a minute.
RUN_TIMEOUT_S = 400.0
LOOK_TIMEOUT_S = 90.0

SEED_PAGE = """
query { assetNodeOrError(assetKey: {path: ["seed_data"]}) { ... on AssetNode {
  assetObservations(limit: 1) { metadataEntries { label
    ... on IntMetadataEntry { intValue }
    ... on MarkdownMetadataEntry { mdStr }
    ... on TextMetadataEntry { text } } } } } }"""
CHECKS = """
query Checks($asset: String!) { assetNodeOrError(assetKey: {path: [$asset]}) { ... on AssetNode {
  assetChecksOrError { ... on AssetChecks { checks { name
    executionForLatestMaterialization { status evaluation { severity description } } } } } } } }"""


@pytest.fixture(scope="module")
def live(open_ui: Callable[..., LiveUi]) -> LiveUi:
    """A project whose sensors are on from the start."""
    return open_ui(
        shards=SHARDS,
        recipe={
            "automation.seed_sensor": True,
            "automation.shard_sensor": True,
            "training.steps": 30,  # long enough to look twice while the run is at work
            "evaluation.max_prompts": 2,
            "corpus.sample_segments": 8,
        },
    )


def launched(live: LiveUi, trigger: str) -> list[str]:
    """Runs that `trigger` launched, oldest first."""
    return [run.run_id for run in live.runs(tags={TRIGGER: trigger})]


def wait_for_launch(live: LiveUi, trigger: str, n: int) -> str:
    """Wait for the `n`-th run of a trigger, and for its success."""
    found = live.wait_until(
        lambda: launched(live, trigger)[n - 1 :],
        LOOK_TIMEOUT_S,
        f"{n} runs are launched by {trigger}",
    )
    live.wait_for_run(found[0], timeout_s=RUN_TIMEOUT_S)
    return found[0]


def look_again(live: LiveUi, sensor: str, n: int = 2) -> list[dict[str, Any]]:
    """Wait until a sensor has looked `n` times from now on; return these looks, newest first."""
    now_s = time.time()

    def since() -> list[dict[str, Any]] | None:
        ticks = [
            t for t in live.ticks(sensor) if t["timestamp"] > now_s and t["status"] != "STARTED"
        ]
        return ticks if len(ticks) >= n else None

    return live.wait_until(since, LOOK_TIMEOUT_S, f"{sensor} has looked {n} times")


def check(live: LiveUi, asset: str, name: str) -> dict[str, Any]:
    """The latest execution of a check, as its page shows it."""
    node = live.graphql(CHECKS, {"asset": asset})["assetNodeOrError"]
    found = {entry["name"]: entry for entry in node["assetChecksOrError"]["checks"]}
    return found[name]["executionForLatestMaterialization"] or {"status": "NONE"}


def seed_page(live: LiveUi) -> dict[str, Any]:
    """Metadata of the latest observation of the seed data."""
    (latest,) = live.graphql(SEED_PAGE)["assetNodeOrError"]["assetObservations"]
    return {
        entry["label"]: entry.get("intValue", entry.get("mdStr", entry.get("text")))
        for entry in latest["metadataEntries"]
    }


def test_files_found_at_the_start_become_partitions_and_are_segmented_alone(live: LiveUi) -> None:
    run = wait_for_launch(live, "new_shard", 1)
    assert live.instance.get_dynamic_partitions("warc_shards") == ["garden", "soils"]
    assert live.steps(run) == ["clueweb_segments", "corpus_selection"]
    assert launched(live, "seed_change") == []
    # The same job by hand, for one shard.
    by_hand = live.launch("after_new_shard", partition="soils")
    live.wait_for_run(by_hand, timeout_s=RUN_TIMEOUT_S)
    assert live.steps(by_hand) == ["clueweb_segments", "corpus_selection"]


def test_edits_give_one_run_each_in_order_over_all_shards_and_those_during_a_run_one_more(
    live: LiveUi,
) -> None:
    whole = live.launch("humpback", partitions=("garden", "soils"))
    live.wait_for_run(whole, timeout_s=RUN_TIMEOUT_S)
    seeds = live.project.seeds
    original = seeds.read_bytes()
    records = read_jsonl(seeds)
    records[0]["output"] = "A new answer to the first question, which was edited by hand."
    added = {"instruction": "Name a fruit that is red.", "output": "An apple is often red."}
    write_jsonl(seeds, [*records[:-1], added])
    (first,) = live.wait_until(
        lambda: launched(live, "seed_change"), LOOK_TIMEOUT_S, "the edit launches a run"
    )
    run = live.instance.get_run_by_id(first)
    assert run is not None
    assert (run.tags[RANGE_START], run.tags[RANGE_END]) == ("garden", "soils")
    page = seed_page(live)
    assert (page["added"], page["removed"], page["changed"]) == (1, 1, 1)
    assert "A new answer to the first question" in page["diff"]
    # Two edits while the run is in progress: another content, then the original again.
    live.wait_until(
        lambda: "seed_pairs" in live.steps(first), LOOK_TIMEOUT_S, "the run has read the seeds"
    )
    write_jsonl(seeds, records[2:])
    look_again(live, SEED_SENSOR)
    run = live.instance.get_run_by_id(first)
    assert run is not None
    assert not run.is_finished
    seeds.write_bytes(original)
    live.wait_for_run(first, timeout_s=RUN_TIMEOUT_S)
    # The base's answers are in the run for a fresh home; they read no seeds.
    steps = [step for step in live.steps(first) if step != "base_responses"]
    assert "clueweb_segments" not in steps
    assert steps[0] == "seed_pairs"
    made = ("m0", "rater_calibration_1", "curation_scores_1", "curated_set_1", "m1")
    order = [steps.index(name) for name in made]
    assert order == sorted(order)
    m1 = live.project.workspace().models.manifest("m1")
    second = wait_for_launch(live, "seed_change", 2)
    assert "seed_pairs" in live.steps(second)[:2]
    back = live.project.workspace().models.manifest("m1")
    assert back.provenance.seed_files != m1.provenance.seed_files
    assert all(t["skipReason"] == "seed data unchanged" for t in look_again(live, SEED_SENSOR))
    assert len(launched(live, "seed_change")) == 2


def test_broken_edit_fails_the_tick_and_the_check_and_launches_nothing(live: LiveUi) -> None:
    seeds = live.project.seeds
    original = seeds.read_bytes()
    n_runs = len(live.runs())
    seeds.write_bytes(original + b'{"instruction": "Half a li\n')
    failed = live.wait_until(
        lambda: [t for t in live.ticks(SEED_SENSOR) if t["status"] == "FAILURE"],
        LOOK_TIMEOUT_S,
        "a red tick",
    )
    assert "nothing launched: the seed data cannot be used" in failed[0]["error"]["message"]
    assert f"{seeds}, line 17" in failed[0]["error"]["message"]
    broken = check(live, "seed_data", "seed_data_valid")
    assert (broken["status"], broken["evaluation"]["severity"]) == ("FAILED", "ERROR")
    assert f"{seeds}, line 17" in broken["evaluation"]["description"]
    seeds.write_bytes(original)
    live.wait_until(
        lambda: check(live, "seed_data", "seed_data_valid")["status"] == "SUCCEEDED",
        LOOK_TIMEOUT_S,
        "the check is green again",
    )
    assert look_again(live, SEED_SENSOR)[0]["skipReason"] == "seed data unchanged"
    assert len(live.runs()) == n_runs


def test_new_file_runs_alone_and_a_removed_one_is_reported_and_kept(live: LiveUi) -> None:
    before = live.project.workspace().datasets.manifest("clueweb_segments", "garden").version
    junk = live.project.warc_dir / "junk.warc.gz"
    junk.write_bytes(b"no archive")
    cut_warc(live.project.warc_dir / "repairs.warc.gz", WEB, 7, 1)
    run_id = wait_for_launch(live, "new_shard", 2)
    run = live.instance.get_run_by_id(run_id)
    assert run is not None
    assert run.tags["dagster/partition"] == "repairs"
    assert live.steps(run_id) == ["clueweb_segments", "corpus_selection"]
    live.wait_until(
        lambda: check(live, "clueweb_segments", "warc_files_readable")["status"] == "FAILED",
        LOOK_TIMEOUT_S,
        "the file that is no WARC is reported",
    )
    after = live.project.workspace().datasets.manifest("clueweb_segments", "garden").version
    assert after == before
    (live.project.warc_dir / "soils.warc.gz").unlink()
    live.wait_until(
        lambda: check(live, "clueweb_segments", "warc_files_present")["status"] == "FAILED",
        LOOK_TIMEOUT_S,
        "the removed file is reported",
    )
    gone = check(live, "clueweb_segments", "warc_files_present")["evaluation"]
    assert gone["severity"] == "WARN"
    assert "soils" in gone["description"]
    partitions = live.instance.get_dynamic_partitions("warc_shards")
    assert partitions == ["garden", "soils", "repairs"]
    assert len(launched(live, "new_shard")) == 2
    assert [run.status for run in live.runs()] == [Status.SUCCESS] * len(live.runs())
