"""An I/O manager that stores nothing: assets hand over names, and the default would pickle."""

from typing import Any

import dagster as dg


class NoObjects(dg.IOManager):
    """Refuses any object between steps; stages write to their stores themselves."""

    def handle_output(self, context: dg.OutputContext, obj: Any) -> None:
        """Let nothing pass but nothing. Raises DagsterInvariantViolationError."""
        if obj is not None:
            raise dg.DagsterInvariantViolationError(
                f"{context.step_key} returned a {type(obj).__name__}; a step writes its data "
                "through a stage and returns a MaterializeResult."
            )

    def load_input(self, context: dg.InputContext) -> Any:
        """There is nothing to load. Raises DagsterInvariantViolationError."""
        raise dg.DagsterInvariantViolationError(
            "a step asks for the object of another one; read it through a stage."
        )


@dg.io_manager(description="Stores nothing: no object passes between steps, so none is pickled.")
def no_objects() -> NoObjects:
    """The I/O manager of all assets and jobs."""
    return NoObjects()
