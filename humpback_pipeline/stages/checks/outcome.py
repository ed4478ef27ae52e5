"""What a check found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

# Shards that a message names; the table has them all.
N_NAMED = 3


@dataclass(frozen=True)
class CheckOutcome:
    """The verdict of one check.

    message: one sentence with the numbers that decided; where it failed, also the remedy.
    facts: what was measured: numbers, texts, or a list of dicts for a table.
    """

    name: str
    passed: bool
    message: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def over_shards(outcomes: Mapping[str, CheckOutcome]) -> CheckOutcome:
    """One verdict for a run over several shards (shard → its outcome), with a table by shard.

    It fails if any shard's does; the message then names the first few that fail. Raises ValueError
    without any outcome, or with those of different checks.
    """
    names = {outcome.name for outcome in outcomes.values()}
    if len(names) != 1:
        raise ValueError(f"expected the outcomes of one check over shards, found {sorted(names)}")
    failed = {shard: outcome for shard, outcome in outcomes.items() if not outcome.passed}
    if failed:
        named = list(failed.items())[:N_NAMED]
        message = " ".join(f"{shard}: {outcome.message}" for shard, outcome in named)
        if len(failed) > len(named):
            message += f" … {len(failed)} of {len(outcomes)} shards fail."
    elif len(outcomes) == 1:
        message = next(iter(outcomes.values())).message
    else:
        message = f"All {len(outcomes)} shards pass."
    rows = [
        {"shard": shard, "passed": outcome.passed, **_scalars(outcome.facts)}
        for shard, outcome in outcomes.items()
    ]
    return CheckOutcome(names.pop(), not failed, message, {"shards": rows})


def _scalars(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if not isinstance(value, list | dict)}
