"""Checks of a shard: read whole, and a yield that fits its languages and the other shards."""

from __future__ import annotations

from typing import Any

from humpback_pipeline.stages.checks import check_shard_read_whole, check_yield
from humpback_pipeline.stages.checks.corpus import check_yields
from humpback_pipeline.storage import Manifest


def shard(pages: int, segments: int, **facts: Any) -> Manifest:
    return Manifest(
        name="clueweb_segments",
        partition="p",
        kind="dataset",
        version="v",
        content_hash="h",
        rows=segments,
        facts={
            "n_documents": pages,
            "document_drops": {},
            "extractor": "trafilatura",
            "partial": None,
            **facts,
        },
    )


def test_partial_shard_is_named_with_the_place_and_with_what_was_read() -> None:
    lost = "gzip member truncated at offset 4999; no record after it could be read"
    outcome = check_shard_read_whole(shard(120, 45, partial=lost))
    assert not outcome.passed
    assert "offset 4999" in outcome.message
    assert "120 pages with 45 segments" in outcome.message
    assert outcome.facts == {"lost": lost, "pages_read": 120, "segments": 45}
    assert check_shard_read_whole(shard(120, 45)).passed


def test_pages_in_other_languages_do_not_count_against_the_yield() -> None:
    foreign = {"language": 990, "no_heading": 5}
    outcome = check_yield(shard(1_000, 1, document_drops=foreign), 0.05)
    assert outcome.passed
    assert outcome.facts["pages"] == 10
    assert outcome.facts["segments_per_page"] == 0.1
    assert not check_yield(shard(1_000, 1, document_drops={"no_heading": 990}), 0.05).passed


def test_shard_without_a_page_in_the_wanted_languages_is_no_fault() -> None:
    outcome = check_yield(shard(300, 0, document_drops={"language": 300}), 0.05)
    assert outcome.passed
    assert "300 pages are in other languages" in outcome.message
    assert not check_yield(shard(0, 0), 0.05).passed


def test_yield_far_below_the_other_shards_is_low() -> None:
    usual = {name: shard(100, n) for name, n in {"a": 80, "b": 120, "c": 100}.items()}
    outcomes = check_yields({**usual, "odd": shard(100, 19)}, 0.02)
    assert not outcomes["odd"].passed
    assert "1.000 a page, their median" in outcomes["odd"].message
    assert all(outcomes[name].passed for name in usual)
    assert check_yields({**usual, "even": shard(100, 20)}, 0.02)["even"].passed


def test_low_yield_is_not_judged_by_few_pages_or_shards_or_another_extractor() -> None:
    usual = {name: shard(100, 100) for name in "abc"}
    assert check_yields({**usual, "few": shard(49, 1)}, 0.0)["few"].passed
    two = {name: usual[name] for name in "ab"}
    assert check_yields({**two, "odd": shard(100, 1)}, 0.0)["odd"].passed
    other = shard(100, 1, extractor="resiliparse")
    assert check_yields({**usual, "other": other}, 0.0)["other"].passed
    small = {name: shard(49, 49) for name in "abc"}
    assert check_yields({**small, "odd": shard(100, 1)}, 0.0)["odd"].passed


def test_shards_of_earlier_runs_are_compared_with_as_well() -> None:
    earlier = [shard(100, 100).model_copy(update={"partition": name}) for name in ("a", "b", "c")]
    assert not check_yields({"odd": shard(100, 5)}, 0.0, earlier)["odd"].passed
    assert check_yields({"odd": shard(100, 5)}, 0.0)["odd"].passed
