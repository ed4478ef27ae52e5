"""How long steps took, from what Dagster recorded."""

from __future__ import annotations

import time
from typing import Any

import dagster as dg

from humpback_pipeline.assets.report_times import REUSED, step_timings


def made(text: str) -> dg.MaterializeResult[Any]:
    return dg.MaterializeResult(metadata={"made": text})


@dg.asset
def slow() -> dg.MaterializeResult:
    time.sleep(0.3)
    return made("in this run")


@dg.asset(deps=[slow])
def known() -> dg.MaterializeResult:
    return made("unchanged since 2026-01-01 00:00 UTC: nothing that shapes it has changed")


@dg.asset(deps=[known])
def report() -> None: ...


def test_every_step_has_its_time_and_one_that_only_looked_says_so() -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        assert dg.materialize([slow, known, report], instance=instance).success
        instance.report_runless_asset_event(dg.AssetMaterialization("from_outside"))
        timings = step_timings(instance, "report")
        assert [timing.step for timing in timings] == ["slow", "known"]
        assert 0.3 <= timings[0].seconds < 30
        assert [timing.note for timing in timings] == [None, REUSED]
