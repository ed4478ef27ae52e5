"""Sensors that tell people: a run failed or succeeded, an asset check did not pass.

They exist only if the recipe names a channel, and are then on by default. What a sensor sends, and
what could not be sent, stands in its tick in the UI.
"""

import dagster as dg

from humpback_pipeline.alerts import send_alert
from humpback_pipeline.automation.failed_checks import Cursor, FailedCheck, find_failed_checks
from humpback_pipeline.automation.run_links import run_url
from humpback_pipeline.automation.step_errors import innermost_message
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.recipe_operations import AlertOccasion

MAX_ERROR_CHARS = 600
# Each is a message of its own, and a tick has to end within a minute. The rest waits for the next.
MAX_CHECKS_A_TICK = 5


def build_alert_sensors(recipe: Recipe) -> list[dg.SensorDefinition]:
    """The sensors of the occasions that the recipe asks for; none without a channel."""
    builders = {
        "run_failure": _run_failure_sensor,
        "run_success": _run_success_sensor,
        "check_failure": _failed_checks_sensor,
    }
    if not recipe.alerts.channels:
        return []
    return [build(recipe) for name, build in builders.items() if name in recipe.alerts.occasions]


def _run_failure_sensor(recipe: Recipe) -> dg.SensorDefinition:
    @dg.run_failure_sensor(
        name="alert_run_failure",
        # A run of `make run` belongs to no code location, and would not be seen otherwise.
        monitor_all_code_locations=True,
        minimum_interval_seconds=recipe.automation.look_every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends an alert for each failed run: which steps, why, and a link to the run.",
    )
    def alert_run_failure(context: dg.RunFailureSensorContext) -> None:
        run = context.dagster_run
        if _is_ours(context):
            lines = [_failed_step(event) for event in context.get_step_failure_events()]
            text = "\n".join(lines) or context.failure_event.message or "no step had failed"
            title = f"Run of {run.job_name} failed"
            _send(context, recipe, "run_failure", title, text, run.run_id)

    return alert_run_failure


def _run_success_sensor(recipe: Recipe) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        run_status=dg.DagsterRunStatus.SUCCESS,
        name="alert_run_success",
        monitor_all_code_locations=True,
        minimum_interval_seconds=recipe.automation.look_every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Sends an alert for each run that succeeded, with the time it took.",
    )
    def alert_run_success(context: dg.RunStatusSensorContext) -> None:
        run = context.dagster_run
        if _is_ours(context):
            statistics = context.instance.get_run_stats(run.run_id)
            start_s, end_s = statistics.start_time, statistics.end_time
            took = f" in {(end_s - start_s) / 60:.1f} minutes" if start_s and end_s else ""
            text = f"{statistics.steps_succeeded} steps done{took}."
            title = f"Run of {run.job_name} succeeded"
            _send(context, recipe, "run_success", title, text, run.run_id)

    return alert_run_success


def _failed_checks_sensor(recipe: Recipe) -> dg.SensorDefinition:
    @dg.sensor(
        name="alert_failed_checks",
        minimum_interval_seconds=recipe.automation.look_every_s,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=(
            "Sends an alert for each asset check that did not pass, once for each check and run."
        ),
    )
    def alert_failed_checks(context: dg.SensorEvaluationContext) -> dg.SkipReason:
        if context.cursor is None:
            context.update_cursor(Cursor.now().to_json())
            return dg.SkipReason("Alerts of failed checks begin now.")
        repository = context.repository_def
        assert repository is not None  # the daemon always gives it
        cursor = Cursor.from_json(context.cursor)
        failed = find_failed_checks(context.instance, repository.asset_graph, cursor)
        told = failed[:MAX_CHECKS_A_TICK]
        n_lost = sum(_send_failed_check(context, recipe, check) for check in told)
        context.update_cursor(cursor.after(told, failed[MAX_CHECKS_A_TICK:]).to_json())
        lost = f", {n_lost} messages not delivered: see the log" if n_lost else ""
        return dg.SkipReason(f"{len(told)} failed checks told{lost}." if told else "all is well")

    return alert_failed_checks


def _send_failed_check(
    context: dg.SensorEvaluationContext, recipe: Recipe, check: FailedCheck
) -> int:
    what = "Check failed" if check.is_error else "Check warns"
    title = f"{what}: {check.name} of {check.asset}"
    return _send(context, recipe, "check_failure", title, check.text(), check.run_id)


def _send(
    context: dg.SensorEvaluationContext | dg.RunStatusSensorContext,
    recipe: Recipe,
    occasion: AlertOccasion,
    title: str,
    text: str,
    run_id: str,
) -> int:
    """Send; write what came of it to the tick's log; return the number of lost messages."""
    delivery = send_alert(recipe, occasion, title, text, run_url=run_url(run_id))
    context.log.info(f"{title}: sent to {delivery.n_sent} channels")
    for failure in delivery.failures:
        context.log.warning(f"{title}: not sent to {failure}")
    return len(delivery.failures)


def _is_ours(context: dg.RunStatusSensorContext) -> bool:
    """Whether a run is of this code location; the instance may serve others."""
    run, repository = context.dagster_run, context.repository_def
    if run.remote_job_origin is None or repository is None:  # made by `make run`
        return True
    # A run of assets picked in the UI has the same job name in every code location.
    ours = repository.asset_graph.get_all_asset_keys()
    return repository.has_job(run.job_name) and (run.asset_selection or ours) <= ours


def _failed_step(event: dg.DagsterEvent) -> str:
    message = innermost_message(event)
    cut = message if len(message) <= MAX_ERROR_CHARS else message[:MAX_ERROR_CHARS] + "…"
    return f"{event.step_key}: {cut}"
