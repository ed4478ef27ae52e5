"""The checks that every trained model has."""

from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.checks import (
    CheckOutcome,
    check_loads_and_generates,
    check_loss_fell,
    check_loss_is_sane,
)
from humpback_pipeline.storage import Manifest

MODEL_CHECKS = ("loss_is_sane", "loss_fell", "loads_and_generates")


def model_checks(workspace: Workspace, manifest: Manifest) -> list[CheckOutcome]:
    """Losses that are numbers and fell, and a folder that loads and writes."""
    return [
        check_loss_is_sane(manifest),
        check_loss_fell(manifest),
        check_loads_and_generates(workspace, manifest),
    ]
