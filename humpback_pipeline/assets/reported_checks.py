"""Checks that are reported outside of runs, once for each content they were made on."""

import dagster as dg
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

# Metadata of an evaluation: names what it was made on.
CONTENT = "content"
ENDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


def report_check(instance: dg.DagsterInstance, result: dg.AssetCheckResult) -> bool:
    """Report a check outside of runs, unless its last evaluation said the same of this content.

    Returns whether it was reported.
    """
    assert result.asset_key is not None
    assert result.check_name is not None
    last = last_evaluation(instance, result.asset_key, result.check_name)
    if (
        last
        and last.passed == result.passed
        and last.metadata.get(CONTENT) == result.metadata.get(CONTENT)
    ):
        return False
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
    return True


def last_evaluation(
    instance: dg.DagsterInstance, asset: dg.AssetKey, check: str
) -> dg.AssetCheckEvaluation | None:
    """The latest finished evaluation of a check; None if there was none."""
    records = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(asset, check), limit=1, status=ENDED
    )
    return records[0].evaluation if records else None
