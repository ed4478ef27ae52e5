"""Observing the sources by hand: the Observe button, the checks' own execution, alerts."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.definitions.observe import observe
from sensed import PAIRS, Sensed

from humpback_pipeline import alerts
from humpback_pipeline.assets.seed import seed_data
from humpback_pipeline.assets.sources import seed_data_valid, warc_files
from humpback_pipeline.automation.observation import SourceUnusableError, report_seed_data
from humpback_pipeline.automation.partitions import WARC_SHARDS

SEED_DATA = dg.AssetKey("seed_data")


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str]]:
    """Alerts that would have been sent: occasion, title, text."""
    sent: list[tuple[str, str, str]] = []
    monkeypatch.setattr(
        alerts,
        "send_alert",
        lambda recipe, occasion, title, text: sent.append((occasion, title, text)),
    )
    return sent


def press_observe(sensed: Sensed) -> dg.AssetObservation | None:
    result = observe(
        [seed_data],
        instance=sensed.instance,
        resources={"workspace": sensed.resource},
        raise_on_error=False,
    )
    events = result.asset_observations_for_node("seed_data") if result.success else []
    return events[0] if events else None


def test_observe_button_shows_the_diff_and_mends_the_check(sensed: Sensed) -> None:
    first = press_observe(sensed)
    assert first is not None
    assert "added" not in first.metadata
    sensed.write_pairs(PAIRS[1:])
    second = press_observe(sensed)
    assert second is not None
    assert second.metadata["removed"].value == 1
    assert second.tags["dagster/data_version"] == second.metadata["content_hash"].value
    sensed.seeds.write_text("{}\n")
    assert press_observe(sensed) is None
    broken = sensed.check("seed_data_valid", "seed_data")
    assert broken is not None
    assert not broken.passed
    sensed.write_pairs(PAIRS)
    assert press_observe(sensed) is not None
    mended = sensed.check("seed_data_valid", "seed_data")
    assert mended is not None
    assert mended.passed


def test_each_content_is_snapshot_and_observed_once(sensed: Sensed) -> None:
    first = report_seed_data(sensed.instance, sensed.workspace)
    assert first is not None
    again = report_seed_data(sensed.instance, sensed.workspace)
    assert again is not None
    assert again.version == first.version
    assert len(sensed.instance.fetch_observations(SEED_DATA, limit=9).records) == 1
    sensed.write_pairs(PAIRS[1:])
    report_seed_data(sensed.instance, sensed.workspace)
    sensed.write_pairs(PAIRS)
    back = report_seed_data(sensed.instance, sensed.workspace)
    assert back is not None
    assert back.version != first.version
    assert back.facts["diff"]["added"] == 1
    assert len(sensed.instance.fetch_observations(SEED_DATA, limit=9).records) == 3


def test_settings_that_refused_a_content_may_accept_it_once_changed(sensed: Sensed) -> None:
    sensed.write_pairs([*PAIRS, {"instruction": "Only this."}])
    with pytest.raises(SourceUnusableError):
        sensed.look()
    recipe = sensed.folder / "sensed.yaml"
    recipe.write_text(recipe.read_text().replace("seed:\n", "seed:\n  on_bad_record: count\n"))
    assert "was never made" in sensed.look().skip


def test_checks_can_be_executed_from_their_page(sensed: Sensed) -> None:
    sensed.add_warc("a")
    (sensed.warc_dir / "junk.warc.gz").write_bytes(b"junk")
    sensed.instance.add_dynamic_partitions(WARC_SHARDS, ["a", "gone"])

    @dg.asset(partitions_def=dg.DynamicPartitionsDefinition(name=WARC_SHARDS))
    def clueweb_segments() -> None: ...

    defs = dg.Definitions(
        assets=[seed_data, clueweb_segments],
        asset_checks=[seed_data_valid, warc_files],
        resources={"workspace": sensed.resource},
        jobs=[dg.define_asset_job("checks", dg.AssetSelection.all_asset_checks())],
    )
    result = defs.resolve_job_def("checks").execute_in_process(instance=sensed.instance)
    passed = {e.check_name: e.passed for e in result.get_asset_check_evaluations()}
    assert passed == {
        "seed_data_valid": True,
        "warc_files_present": False,
        "warc_files_readable": False,
    }


def test_alert_is_sent_once_for_each_broken_content(
    sensed: Sensed, told: list[tuple[str, str, str]]
) -> None:
    for text in ("{", "{", "[]"):
        sensed.seeds.write_text(text)
        for _ in range(2):
            with pytest.raises(SourceUnusableError):
                sensed.look()
    assert [occasion for occasion, _, _ in told] == ["seed_data", "seed_data"]
    assert "seeds.jsonl" in told[0][2]


def test_alert_is_sent_once_for_each_event_in_the_corpus(
    sensed: Sensed, told: list[tuple[str, str, str]]
) -> None:
    for key in ("a", "b"):
        sensed.add_warc(key)
    sensed.segment("a", "b")
    sensed.look("warc_shards_sensor")
    assert told == []
    (sensed.warc_dir / "a.warc.gz").unlink()
    (sensed.warc_dir / "junk.warc").write_text("junk")
    for _ in range(2):
        sensed.look("warc_shards_sensor")
    assert [(occasion, title) for occasion, title, _ in told] == [
        ("corpus", "WARC files are gone"),
        ("corpus", "Files cannot be opened as WARC"),
    ]
    (sensed.warc_dir / "b.warc.gz").unlink()
    sensed.look("warc_shards_sensor")
    assert "a, b" in told[2][2]


def test_warning_is_shown_again_after_the_asset_was_materialised_and_no_alert_sent(
    sensed: Sensed, told: list[tuple[str, str, str]]
) -> None:
    sensed.pretend_segmented("a")
    segments, key = dg.AssetKey("clueweb_segments"), "warc_files_present"

    def evaluations() -> int:
        sensed.look("warc_shards_sensor")
        history = sensed.instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(segments, key), limit=10
        )
        assert not any(record.evaluation.passed for record in history)
        return len(history)

    assert [evaluations(), evaluations()] == [1, 1]
    sensed.instance.report_runless_asset_event(dg.AssetMaterialization(segments))
    assert evaluations() == 2
    assert len(told) == 1
