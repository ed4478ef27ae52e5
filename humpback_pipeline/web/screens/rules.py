"""A rule: bounds on one number of a text. What is measured and what is dropped stay apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

S = TypeVar("S")


@dataclass(frozen=True)
class Rule(Generic[S]):
    """Bounds, inclusive, on one statistic of a text.

    name: what the drop reason ends in. value: the number, or None where the rule does not apply to
    this text. minimum, maximum: None for no bound.
    """

    name: str
    value: Callable[[S], float | None]
    minimum: float | None = None
    maximum: float | None = None

    def is_broken_by(self, statistics: S) -> bool:
        """Tell whether the number lies outside the bounds."""
        value = self.value(statistics)
        if value is None:
            return False
        too_low = self.minimum is not None and value < self.minimum
        return too_low or (self.maximum is not None and value > self.maximum)


def broken_rule(rules: Iterable[Rule[S]], statistics: S) -> str | None:
    """Name of the first rule that the statistics break, or None."""
    return next((rule.name for rule in rules if rule.is_broken_by(statistics)), None)
