"""In the browser, as a person clicks: everything, one iteration, one shard, a range, what is new.

The tests share one UI and go on from one another's state; each says what it needs.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest
from browser import Visitor, open_browser
from live_ui import RANGE_END, RANGE_START, LiveUi, Status
from playwright.sync_api import Browser, expect
from projects import CLUEWEB22, cut_warc, read_jsonl, write_jsonl

pytestmark = pytest.mark.slow
SHARDS = {"garden", "repairs", "soils"}
PARTITIONED = {"clueweb_segments", "augmented_set", "curation_scores_1"}
# What must not begin before what has ended, across the runs of one backfill.
ORDER = [
    ("clueweb_segments", "corpus_selection"),
    ("seed_pairs", "m0"),
    ("corpus_selection", "augmented_set"),
    ("backward_model", "augmented_set"),
    ("augmented_set", "curation_scores_1"),
    ("m0", "rater_calibration_1"),
    ("rater_calibration_1", "curation_scores_1"),
    ("curation_scores_1", "curated_set_1"),
    ("curated_set_1", "m1"),
    ("m1_responses", "win_rates"),
    ("win_rates", "report"),
]
LAUNCHPAD = "/locations/humpback_pipeline/jobs/iteration_0/playground"
TRAINING_STEPS = "resources:\n  workspace:\n    config:\n      training:\n        steps: {}\n"
STALE_CAUSES = "{ assetNodes { assetKey { path } staleCauses { reason key { path } } } }"
FINISHED_BACKFILL = {"COMPLETED", "COMPLETED_SUCCESS", "COMPLETED_FAILED", "FAILED", "CANCELED"}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def live(browser: Browser, open_ui: Callable[..., LiveUi]) -> LiveUi:
    quick_daemon = Path(__file__).parent / "quick_daemon"
    return open_ui(environment={"PYTHONPATH": str(quick_daemon)})


@pytest.fixture
def visitor(live: LiveUi, browser: Browser) -> Iterator[Visitor]:
    visitor = Visitor(live, browser)
    yield visitor
    visitor.page.close()


@pytest.fixture(scope="module")
def materialized(live: LiveUi, browser: Browser) -> LiveUi:
    """The home after "Materialize all" of a fresh UI, where nothing was registered or run."""
    visitor = Visitor(live, browser)
    visitor.materialize("/asset-groups", "All")
    backfill = live.wait_until(lambda: live.instance.get_backfills(), 20, "a backfill is there")[0]
    visitor.page.close()

    def ended() -> str | None:
        state = live.instance.get_backfill(backfill.backfill_id)
        return state.status.value if state and state.status.value in FINISHED_BACKFILL else None

    status = live.wait_until(ended, 300, "the backfill has ended")
    assert status == "COMPLETED_SUCCESS", live.diagnosis()
    return live


def new_runs(live: LiveUi, n_before: int, n: int = 1, timeout_s: float = 90) -> list[dg.DagsterRun]:
    """The `n` runs launched since there were `n_before`, when they have ended well."""
    live.wait_until(lambda: len(live.runs()) >= n_before + n, 60, f"{n} new runs")
    for run in live.runs()[n_before:]:
        live.wait_for_run(run.run_id, timeout_s=timeout_s)
    runs = live.runs()[n_before:]
    assert len(runs) == n, live.diagnosis()
    return runs


def assets_of(run: dg.DagsterRun) -> set[str]:
    return {key.to_user_string() for key in run.asset_selection or ()}


def test_first_visit_meets_no_modal_and_the_groups_of_the_graph(visitor: Visitor) -> None:
    page = visitor.open("/")
    expect(page.get_by_text("Overview").first).to_be_visible()
    page.wait_for_load_state("networkidle")
    assert page.get_by_role("dialog").count() == 0
    visitor.open("/asset-groups")
    for group in ("seed", "corpus", "augmentation", "iteration_0", "iteration_1", "evaluation"):
        expect(page.get_by_text(group, exact=True).first).to_be_visible()
    assert page.get_by_role("dialog").count() == 0


def test_materialize_all_makes_everything_in_order_on_a_fresh_home(materialized: LiveUi) -> None:
    live = materialized
    assert {run.status for run in live.runs()} == {Status.SUCCESS}
    graph = live.graphql("{ assetNodes { assetKey { path } isMaterializable } }")["assetNodes"]
    names = {node["assetKey"]["path"][0] for node in graph if node["isMaterializable"]}
    for name in names - PARTITIONED:
        assert live.materialized_at_s(name), name
    for name in PARTITIONED:
        assert live.instance.get_materialized_partitions(dg.AssetKey(name)) == SHARDS
    for first, second in ORDER:
        shards = SHARDS if first in PARTITIONED else {None}
        assert live.materialized_at_s(second), second
        for shard in shards:
            assert live.materialized_at_s(first, shard) < live.materialized_at_s(second)
    # A handful of runs, not one for each asset or shard.
    assert len(live.runs()) <= 6


def test_iteration_from_its_jobs_page_is_one_run_of_its_assets(
    materialized: LiveUi, visitor: Visitor
) -> None:
    n_before = len(materialized.runs())
    visitor.materialize("/locations/humpback_pipeline/jobs/iteration_1", "All")
    (run,) = new_runs(materialized, n_before)
    assert run.job_name == "iteration_1"
    assert materialized.materialized_by(run.run_id) == [
        "rater_calibration_1",
        "curation_scores_1",
        "curated_set_1",
        "m1",
    ]


def test_only_changed_assets_run_and_the_next_say_why(
    materialized: LiveUi, visitor: Visitor
) -> None:
    live, page = materialized, visitor.page
    write_jsonl(live.project.seeds, read_jsonl(live.project.seeds)[:-1])
    n_before = len(live.runs())
    visitor.more("Observe")
    new_runs(live, n_before)
    visitor.more("Materialize unsynced")
    expect(page.get_by_text("Materialize unsynced assets")).to_be_visible()
    expect(visitor.dialog.get_by_text("seed_pairs").first).to_be_visible()
    visitor.dialog.get_by_role("button", name="Materialize 1 asset").click()
    run = new_runs(live, n_before + 1)[0]
    assert live.materialized_by(run.run_id) == ["seed_pairs"]
    nodes = live.graphql(STALE_CAUSES)["assetNodes"]
    why = {n["assetKey"]["path"][0]: n["staleCauses"] for n in nodes if n["staleCauses"]}
    models = {"backward_model", "m0", "rater_calibration_1", "m1"}
    data = {"data_statistics", "instruction_diversity", "length_histograms", "data_bias"}
    assert set(why) == {*models, *data, "contamination", "exports"}
    (cause,) = why["m0"]
    assert (cause["key"]["path"], cause["reason"]) == (["seed_pairs"], "has a new data version")


def test_one_shard_of_one_asset_runs_alone(materialized: LiveUi, visitor: Visitor) -> None:
    n_before = len(materialized.runs())
    visitor.materialize("/assets/clueweb_segments", "repairs")
    (run,) = new_runs(materialized, n_before)
    assert run.tags["dagster/partition"] == "repairs"
    assert materialized.materialized_by(run.run_id) == ["clueweb_segments"]


def test_range_of_shards_is_one_run(materialized: LiveUi, visitor: Visitor) -> None:
    n_before = len(materialized.runs())
    visitor.materialize("/assets/clueweb_segments", "garden", "repairs")
    (run,) = new_runs(materialized, n_before)
    assert (run.tags[RANGE_START], run.tags[RANGE_END]) == ("garden", "repairs")
    before_s = materialized.materialized_at_s("clueweb_segments", "soils")
    assert materialized.materialized_at_s("clueweb_segments", "garden") > before_s


def test_only_missing_shards_run(materialized: LiveUi, visitor: Visitor) -> None:
    live = materialized
    cut_warc(live.project.warc_dir / "tides.warc.gz", CLUEWEB22, 12, 1)
    live.instance.add_dynamic_partitions("warc_shards", ["tides"])
    n_before = len(live.runs())
    visitor.materialize("/assets/clueweb_segments", "Missing")
    (run,) = new_runs(live, n_before)
    assert run.tags["dagster/partition"] == "tides"
    assert live.project.workspace().datasets.manifest("clueweb_segments", "tides").rows


def test_pages_of_a_model_show_its_origin_its_losses_and_its_checks(
    materialized: LiveUi, visitor: Visitor
) -> None:
    page = visitor.open("/assets/m1")
    for text in ("made_from", "curated_set_1", "held_out_loss_after", "loss_curve"):
        expect(page.get_by_text(text).first).to_be_visible()
    page = visitor.open("/assets/curation_scores_1?view=checks")
    expect(page.get_by_text("every_rating_in_range").first).to_be_visible()
    expect(page.get_by_text("Passed").first).to_be_visible()


def test_ratings_are_drawn_and_samples_one_click_away_on_the_page_of_a_shard(
    materialized: LiveUi, visitor: Visitor
) -> None:
    page = visitor.open("/assets/curation_scores_1?view=partitions&partition=garden")
    small = visitor.fact("ratings").get_by_role("img")
    expect(small).to_be_visible()
    visitor.fact("ratings_large").get_by_text("[Show Markdown]").click()
    large = visitor.dialog.get_by_role("img", name=re.compile("ratings"))
    expect(large).to_be_visible()
    for image in (small, large):
        assert image.evaluate("image => image.complete && image.naturalWidth") > 0
    page.keyboard.press("Escape")
    best = visitor.fact("best")
    expect(best).to_be_visible()
    if best.get_by_text("[Show Markdown]").count():
        best.get_by_text("[Show Markdown]").click()
        best = visitor.dialog
    expect(best.get_by_text("instruction")).to_be_visible()


def test_launchpad_explains_its_fields_and_refuses_a_wrong_type(visitor: Visitor) -> None:
    page = visitor.open(LAUNCHPAD)
    expect(page.get_by_text("overrides").first).to_be_visible()
    visitor.write_config(TRAINING_STEPS.format("many"))
    expect(page.get_by_text("workspace:config:training:steps")).to_be_visible()
    expect(visitor.button("Launch Run")).to_be_disabled()
    visitor.write_config(TRAINING_STEPS.format(3))
    expect(page.get_by_text("No errors")).to_be_visible()
    expect(page.get_by_text("Optimizer steps").first).to_be_visible()


def test_launched_run_shows_progress_and_terminate_ends_it_within_seconds(
    materialized: LiveUi, visitor: Visitor
) -> None:
    live = materialized
    before = live.project.workspace().models.manifest("m0").version
    n_before = len(live.runs())
    visitor.open(LAUNCHPAD)
    visitor.write_config(TRAINING_STEPS.format(20_000))
    visitor.button("Launch Run").click()
    run_id = live.wait_until(lambda: live.runs()[n_before:], 30, "the run is there")[0].run_id
    page = visitor.open(f"/runs/{run_id}")
    progress = re.compile(r"training m0: [\d,]+/20,000 steps.*ETA.*loss")
    page.get_by_text(progress).first.wait_for(timeout=90_000)
    visitor.button("Terminate").click()
    visitor.dialog.get_by_role("button", name="Terminate 1 run").click()
    asked_s = time.monotonic()
    live.wait_for_run(run_id, Status.CANCELED, timeout_s=20)
    live.wait_until(lambda: not live.steps_at_work(), 20, "the step's processes are gone")
    assert time.monotonic() - asked_s < 15
    expect(page.get_by_text("Canceled").first).to_be_visible()
    workspace = live.project.workspace()
    assert workspace.models.manifest("m0").version == before
    assert not list(workspace.home.rglob(".tmp-*"))
