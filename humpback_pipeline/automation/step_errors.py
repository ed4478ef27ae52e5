"""What went wrong in a step, in the words of the error behind the others."""

from dagster import DagsterEvent


def innermost_message(event: DagsterEvent) -> str:
    """Message of the first cause of a step's failure: what happened; the others say where."""
    error = event.step_failure_data.error
    while error and error.cause:
        error = error.cause
    return error.message.strip() if error else "no error was recorded"
