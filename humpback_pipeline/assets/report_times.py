"""How long each step took in its latest run, as Dagster recorded it."""

from collections.abc import Iterator

import dagster as dg

from humpback_pipeline.evaluation.report_data import Timing

REUSED = "looked only: nothing had changed"
MADE = "made"


def step_timings(instance: dg.DagsterInstance, leave_out: str) -> list[Timing]:
    """A row for each asset that was materialised by a step, in the order of their ends.

    leave_out: the asset whose step is asking, which has not ended. Of a step over several shards
    it is the time of them all; of one that found nothing to do, of the looking.
    """
    found = sorted(_timings(instance, leave_out), key=lambda timed: timed[0])
    return [timing for _, timing in found]


def _timings(instance: dg.DagsterInstance, leave_out: str) -> Iterator[tuple[float, Timing]]:
    by_run: dict[str, dict[str, tuple[float, float]]] = {}
    for key in instance.get_asset_keys():
        event = instance.get_latest_materialization_event(key)
        name = key.to_user_string()
        if event is None or event.asset_materialization is None or name == leave_out:
            continue
        if event.run_id not in by_run:
            by_run[event.run_id] = {
                stats.step_key: (stats.start_time, stats.end_time)
                for stats in instance.get_run_step_stats(event.run_id)
                if stats.start_time is not None and stats.end_time is not None
            }
        times = by_run[event.run_id].get(key.to_python_identifier())
        if times is None:  # republished, or reported from outside
            continue
        start, end = times
        made = event.asset_materialization.metadata.get(MADE)
        reused = made is not None and str(made.value).startswith("unchanged")
        yield end, Timing(step=name, seconds=end - start, note=REUSED if reused else None)
