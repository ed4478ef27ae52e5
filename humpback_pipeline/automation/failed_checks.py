"""Which asset checks failed since the last look, one entry for each check and run."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

# There is no public way to the results of checks across runs. `get_event_records` reads the shards
# of runs whose status changed, so on SQLite it would tell of a warning only as its run ends.
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from humpback_pipeline.assets.sources import (
    SEED_DATA_VALID,
    WARC_FILES_PRESENT,
    WARC_FILES_READABLE,
)

# An event is stored a moment after it got its time stamp, and clocks of two machines differ.
LATENESS_S = 300.0
PAGE = 25
MAX_SHOWN = 12
FAILED = {AssetCheckExecutionRecordStatus.FAILED}
# The sensors tell of these themselves, as what they are: seed data, corpus.
TOLD_ELSEWHERE = {SEED_DATA_VALID, WARC_FILES_PRESENT, WARC_FILES_READABLE}


@dataclass(frozen=True)
class FailedCheck:
    """A check that did not pass in one run, over all partitions that it looked at."""

    asset: str
    name: str
    run_id: str  # empty for one that was reported outside a run
    is_error: bool  # False: a warning
    is_blocking: bool
    time_s: float
    partitions: tuple[str, ...]
    description: str
    facts: tuple[str, ...]

    @property
    def key(self) -> str:
        """What it is told once for: the check in its run, or each evaluation outside of runs."""
        return "/".join([self.run_id or f"at {self.time_s}", self.asset, self.name])

    def text(self) -> str:
        """Why, where, and the figures that the check recorded."""
        consequence = "What depends on it was not run." if self.is_blocking else ""
        lines = [self.description, consequence if self.is_error else ""]
        if self.partitions:
            rest = len(self.partitions) - MAX_SHOWN
            more = f" and {rest} more" if rest > 0 else ""
            lines.append(f"partitions: {', '.join(self.partitions[:MAX_SHOWN])}{more}")
        return "\n".join(line for line in [*lines, *self.facts[:MAX_SHOWN]] if line)


@dataclass(frozen=True)
class Cursor:
    """Failures from `from_s` (Unix time) on are to be told, but for those with these keys.

    Event ids are of no use: a check's record is made when its run is planned and filled in later.
    """

    from_s: float
    told: dict[str, float]

    @classmethod
    def now(cls) -> Cursor:
        """From now on, nothing of the past."""
        return cls(time.time(), {})

    @classmethod
    def from_json(cls, text: str) -> Cursor:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))

    def to_json(self) -> str:
        """As a sensor's cursor."""
        return json.dumps({"from_s": self.from_s, "told": self.told})

    def after(self, told: Sequence[FailedCheck], waiting: Sequence[FailedCheck]) -> Cursor:
        """The cursor once `told` were told; `waiting` are found again."""
        from_s = max([self.from_s, *(check.time_s - LATENESS_S for check in told)])
        from_s = min([from_s, *(check.time_s for check in waiting)])
        keys = {**self.told, **{check.key: check.time_s for check in told}}
        return Cursor(from_s, {key: at_s for key, at_s in keys.items() if at_s >= from_s})


def find_failed_checks(
    instance: dg.DagsterInstance, graph: dg.AssetGraph, cursor: Cursor
) -> list[FailedCheck]:
    """Checks of `graph` that did not pass and were not told yet, oldest first."""
    found: dict[str, FailedCheck] = {}
    for key in graph.asset_check_keys:
        if key.name in TOLD_ELSEWHERE:
            continue
        by_run: dict[str, list[AssetCheckExecutionRecord]] = {}
        for record in _failed_since(instance, key, cursor.from_s):
            by_run.setdefault(record.run_id or f"record {record.id}", []).append(record)
        for records in by_run.values():
            check = _failed_check(key, records)
            if check.key not in cursor.told:
                found[check.key] = check
    return sorted(found.values(), key=lambda check: (check.time_s, check.key))


def _failed_since(
    instance: dg.DagsterInstance, key: dg.AssetCheckKey, from_s: float
) -> Iterator[AssetCheckExecutionRecord]:
    before_id: int | None = None
    while True:
        page = instance.event_log_storage.get_asset_check_execution_history(
            key, limit=PAGE, cursor=before_id, status=FAILED
        )
        recent = [r for r in page if r.event is not None and r.event.timestamp >= from_s]
        yield from recent
        if len(page) < PAGE or not recent:
            return
        before_id = page[-1].id


def _failed_check(
    key: dg.AssetCheckKey, records: Sequence[AssetCheckExecutionRecord]
) -> FailedCheck:
    newest = records[0]
    evaluations = [r.evaluation for r in records if r.evaluation is not None]
    errors = [e for e in evaluations if e.severity == dg.AssetCheckSeverity.ERROR]
    shown = (errors or evaluations)[0]
    return FailedCheck(
        asset=key.asset_key.to_user_string(),
        name=key.name,
        run_id=newest.run_id,
        is_error=bool(errors),
        is_blocking=any(e.blocking for e in errors),
        time_s=min(r.event.timestamp for r in records if r.event is not None),
        partitions=tuple(sorted({e.partition for e in evaluations if e.partition})),
        description=shown.description or "",
        facts=tuple(f"{name}: {_short(value)}" for name, value in sorted(shown.metadata.items())),
    )


def _short(value: dg.MetadataValue) -> str:
    text = " ".join(str(value.value).split())
    return text if len(text) <= 200 else text[:199] + "…"
