"""Checks of a training by its losses."""

from __future__ import annotations

import math
from typing import Any

from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.storage import Manifest


def check_loss_is_sane(manifest: Manifest) -> CheckOutcome:
    """Every loss of training and of the held-out examples is a finite number, and there is one."""
    train = [loss for _, loss, _ in manifest.facts["train_curve"]]
    held_out = [loss for _, loss in manifest.facts["held_out_curve"]]
    bad_train, bad_held_out = _n_not_finite(train), _n_not_finite(held_out)
    facts = {
        "steps": len(train),
        "not_finite": bad_train,
        "held_out_measurements": len(held_out),
        "held_out_not_finite": bad_held_out,
    }
    if train and not bad_train and not bad_held_out:
        last = f", the held-out one {held_out[-1]:.3f}" if held_out else "; none was held out"
        message = f"{len(train):,} steps, the last loss {train[-1]:.3f}{last}."
        return CheckOutcome("loss_is_sane", True, message, facts)
    message = (
        f"{bad_train} of {len(train)} training losses and {bad_held_out} of {len(held_out)} "
        "held-out losses are no finite numbers. Lower training.learning_rate_start, or look at the "
        "examples and the base model's weights."
    )
    return CheckOutcome("loss_is_sane", False, message, facts)


def check_loss_fell(manifest: Manifest) -> CheckOutcome:
    """The loss on held-out seeds is lower after training than before."""
    before, after = manifest.facts["loss_before"], manifest.facts["loss_after"]
    if before is None or after is None:
        message = "No examples are held out (seed.dev_fraction), so there is no loss to compare."
        return CheckOutcome("loss_fell", True, message)
    facts = {"before": before, "after": after, "change": after - before}
    message = f"Held-out loss {before:.3f} → {after:.3f} nats per token."
    if after < before:
        return CheckOutcome("loss_fell", True, message, facts)
    message += " It did not fall: too few steps, too high a learning rate, or too few seeds."
    return CheckOutcome("loss_fell", False, message, facts)


def _n_not_finite(losses: list[Any]) -> int:
    # A manifest read back from disk has null where the loss was not a number.
    return sum(loss is None or not math.isfinite(loss) for loss in losses)
