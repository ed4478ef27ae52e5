"""Checks of ablations: what a variant was to be trained on was there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from humpback_pipeline.stages.checks.outcome import CheckOutcome


def check_size_reached(facts: Mapping[str, Any]) -> CheckOutcome:
    """A variant has as many seeds and augmented pairs as the recipe gives it.

    facts: those of its data. With fewer it is another point of its curve than its name says.
    """
    found = {name: facts[f"n_{name}"] for name in ("seeds", "augmented")}
    wanted = {name: facts[f"{name}_wanted"] for name in found}
    short = [name for name, n in wanted.items() if n is not None and found[name] < n]
    numbers = {**found, **{f"{name}_wanted": n for name, n in wanted.items() if n is not None}}
    if not short:
        message = f"{found['seeds']:,} seeds and {found['augmented']:,} augmented pairs."
        return CheckOutcome("size_reached", True, message, numbers)
    listed = ", ".join(f"{found[name]:,} of {wanted[name]:,} {name}" for name in short)
    message = (
        f"Only {listed} pairs are there. Its win rate stands at the size it has; take more "
        "segments (corpus.sample_segments), a lower min_rating, or a smaller size."
    )
    return CheckOutcome("size_reached", False, message, numbers)
