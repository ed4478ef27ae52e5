"""Checks that are reported outside of runs, once for each content they were made on."""

import dagster as dg
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

# Metadata of an evaluation: names what it was made on.
CONTENT = "content"
ENDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


def report_check(instance: dg.DagsterInstance, result: dg.AssetCheckResult) -> bool:
    """Report a check outside of runs, unless its last evaluation said the same of this content.

    It is repeated once the asset was materialised again, as the UI shows only what was evaluated
    since. Returns whether it is news.
    """
    assert result.asset_key is not None
    assert result.check_name is not None
    record = _last_record(instance, result.asset_key, result.check_name)
    last = record.evaluation if record else None
    content = result.metadata.get(CONTENT)
    is_news = not (last and last.passed == result.passed and last.metadata.get(CONTENT) == content)
    if is_news or _is_outdated(instance, record):
        instance.report_runless_asset_event(
            dg.AssetCheckEvaluation(
                asset_key=result.asset_key,
                check_name=result.check_name,
                passed=result.passed,
                metadata=result.metadata,
                severity=result.severity,
                description=result.description,
            )
        )
    return is_news


def last_evaluation(
    instance: dg.DagsterInstance, asset: dg.AssetKey, check: str
) -> dg.AssetCheckEvaluation | None:
    """The latest finished evaluation of a check; None if there was none."""
    record = _last_record(instance, asset, check)
    return record.evaluation if record else None


def _last_record(
    instance: dg.DagsterInstance, asset: dg.AssetKey, check: str
) -> AssetCheckExecutionRecord | None:
    records = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(asset, check), limit=1, status=ENDED
    )
    return records[0] if records else None


def _is_outdated(instance: dg.DagsterInstance, record: AssetCheckExecutionRecord | None) -> bool:
    """Whether the asset was materialised since: the UI then shows the check as not executed."""
    if record is None:
        return True
    latest = instance.get_latest_materialization_event(record.key.asset_key)
    return latest is not None and latest.timestamp >= record.create_timestamp
