"""What judging cost: verdicts, tokens, US dollars; newly asked apart from those in the ledger."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from .pairwise import Preference, Verdict


@dataclass(frozen=True)
class JudgePrices:
    """US dollars for a million tokens read and written; None: not known."""

    usd_per_million_prompt_tokens: float | None = None
    usd_per_million_completion_tokens: float | None = None

    def usd(self, n_prompt_tokens: int, n_completion_tokens: int) -> float | None:
        """The price of so many tokens; None if a price that is needed is not known."""
        prices = (
            (n_prompt_tokens, self.usd_per_million_prompt_tokens),
            (n_completion_tokens, self.usd_per_million_completion_tokens),
        )
        if all(price is None for _, price in prices):
            return None
        if any(n and price is None for n, price in prices):
            return None
        return sum(n * (price or 0.0) for n, price in prices) / 1e6


@dataclass(frozen=True)
class JudgeCost:
    """Cost of a set of verdicts.

    n_verdicts: all of them, of which n_new were asked now and n_cached were in the ledger from an
    earlier run; n_unmetered: those whose token counts nobody told (refused ones among them), which
    the sums leave out. n_prompt_tokens, n_completion_tokens, usd: of all verdicts; new_…: of those
    asked now. usd is None without prices.
    """

    n_verdicts: int
    n_new: int
    n_cached: int
    n_unmetered: int
    n_prompt_tokens: int
    n_completion_tokens: int
    new_prompt_tokens: int
    new_completion_tokens: int
    usd: float | None
    new_usd: float | None


def judge_cost(preferences: Iterable[Preference], prices: JudgePrices | None = None) -> JudgeCost:
    """Add up what the verdicts behind `preferences` cost."""
    prices = prices or JudgePrices()
    verdicts = [verdict for preference in preferences for verdict in preference.verdicts]
    new = [verdict for verdict in verdicts if not verdict.is_cached]
    n_prompt, n_completion = _tokens(verdicts)
    new_prompt, new_completion = _tokens(new)
    return JudgeCost(
        n_verdicts=len(verdicts),
        n_new=len(new),
        n_cached=len(verdicts) - len(new),
        n_unmetered=sum(verdict.n_prompt_tokens is None for verdict in verdicts),
        n_prompt_tokens=n_prompt,
        n_completion_tokens=n_completion,
        new_prompt_tokens=new_prompt,
        new_completion_tokens=new_completion,
        usd=prices.usd(n_prompt, n_completion),
        new_usd=prices.usd(new_prompt, new_completion),
    )


def cost_rows(costs: Mapping[str, JudgeCost]) -> list[dict[str, str | int | float | None]]:
    """A table of costs by model, with a last row of their sums if there are several."""
    rows: list[dict[str, str | int | float | None]] = [
        {"model": model, **asdict(cost)} for model, cost in costs.items()
    ]
    if len(rows) > 1:
        rows.append({"model": "all", **asdict(_sum(costs.values()))})
    return rows


def _sum(costs: Iterable[JudgeCost]) -> JudgeCost:
    added = [asdict(cost) for cost in costs]
    totals: dict[str, Any] = {}
    for name in added[0]:
        values = [row[name] for row in added]
        totals[name] = None if any(value is None for value in values) else sum(values)
    return JudgeCost(**totals)


def _tokens(verdicts: Iterable[Verdict]) -> tuple[int, int]:
    n_prompt = n_completion = 0
    for verdict in verdicts:
        n_prompt += verdict.n_prompt_tokens or 0
        n_completion += verdict.n_completion_tokens or 0
    return n_prompt, n_completion
