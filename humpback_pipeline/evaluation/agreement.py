"""Do annotators agree with each other, and does the judge agree with them?

The three answers (win, no difference, loss) are taken as names without an order. Sources: Cohen, "A
coefficient of agreement for nominal scales" (1960); Krippendorff, "Computing Krippendorff's
Alpha-Reliability" (2011).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl

from .human_judgements import LOSS, OUTCOMES, WIN
from .human_pairs import NO_DIFFERENCE
from .intervals import Interval, wilson_interval

DRAW = 1.5
N_RESAMPLES = 2_000
_ROUNDING = 1e-9  # 1.5 - 1.4 is a little more than 0.1
Array = np.ndarray[Any, np.dtype[np.float64]]


def krippendorff_alpha(counts: Array) -> float:
    """Krippendorff's α for names. counts: pairs × answers, how many annotators gave which.

    1: all agree; 0: as often as by chance. NaN where nothing can be said: no pair with two
    judgements, or only one answer was ever given.
    """
    usable = _pairable(counts)
    return float(_alpha_of(np.ones((1, len(usable))), usable).item())


def cohen_kappa(first: list[str], second: list[str]) -> float:
    """Cohen's κ of two annotators' answers to the same pairs; NaN if both only ever gave one."""
    return float(_kappa(_confusion(first, second).sum(axis=0)[None]).item())


def annotator_agreement(judgements: pl.DataFrame) -> dict[str, Any]:
    """Agreement over all pairs that two or more have judged.

    judgements: `JUDGEMENTS_SCHEMA`. Returns n_annotators, n_pairs (of two or more), agreement (mean
    share of a pair's annotators, taken by twos, who agree), agreement_interval, alpha,
    alpha_interval; None for what is not defined. Intervals are of 95 %: Wilson's, with as many
    trials as pairs, and the bootstrap's over pairs.
    """
    counts = _pairable(_counts(judgements))
    n = len(counts)
    facts: dict[str, Any] = {"n_annotators": judgements["annotator"].n_unique(), "n_pairs": n}
    if not n:
        nothing = ("agreement", "agreement_interval", "alpha", "alpha_interval")
        return facts | dict.fromkeys(nothing)
    share = 1 - _disagreement(counts)
    alpha = krippendorff_alpha(counts)
    interval = wilson_interval(float(share.sum()), n)
    totals = counts.sum(axis=0) / counts.sum()
    return facts | {
        "agreement": float(share.mean()),
        "agreement_interval": interval,
        "alpha": _defined(alpha),
        "alpha_interval": _interval(counts, _alpha_of, alpha, interval, 1 - (totals**2).sum()),
    }


def pairwise_agreement(judgements: pl.DataFrame) -> list[dict[str, Any]]:
    """A row for every two annotators with a pair in common.

    Rows: first, second, n, agreement, agreement_interval, kappa, kappa_interval (bootstrap).
    """
    answers: dict[str, dict[str, str]] = {}
    for annotator, pair_id, outcome in judgements.select(
        "annotator", "pair_id", "outcome"
    ).iter_rows():
        answers.setdefault(annotator, {})[pair_id] = outcome
    rows = []
    for one, other in itertools.combinations(sorted(answers), 2):
        common = sorted(answers[one].keys() & answers[other].keys())
        if common:
            mine, theirs = ([answers[who][pair] for pair in common] for who in (one, other))
            rows.append({"first": one, "second": other, **_two_way(mine, theirs)})
    return rows


def judge_outcome(preference: float, draw_band: float) -> str:
    """The judge's answer: no difference within `draw_band` of 1.5, else win or loss.

    preference: AlpacaEval's scale, 2.0 = the model's answer is better.
    """
    if abs(preference - DRAW) <= draw_band + _ROUNDING:
        return NO_DIFFERENCE
    return WIN if preference > DRAW else LOSS


def judge_agreement(
    verdicts: pl.DataFrame, preferences: pl.DataFrame, draw_band: float
) -> list[dict[str, Any]]:
    """A row for every comparison that people and the judge have both judged.

    verdicts: columns comparison, prompt_id, verdict (win, no_difference, loss), one a pair.
    preferences: comparison, prompt_id, preference (1.0 … 2.0 = the model is better).

    Rows: comparison, n, agreement and kappa of the three answers with intervals, judge_draws (pairs
    in which the judge sees no difference), win_rate_people and win_rate_judge over these pairs (no
    difference counts half; the judge's preference less 1), n_decided (people see a difference),
    same_side (share of those that the judge leans to the same side of 1.5, however little; exactly
    1.5 counts half) and same_side_interval.
    """
    joined = verdicts.join(preferences, on=["comparison", "prompt_id"]).drop_nulls("preference")
    rows = []
    for (comparison,), frame in joined.group_by(["comparison"], maintain_order=True):
        human = frame["verdict"].to_list()
        numbers = frame["preference"].to_list()
        judge = [judge_outcome(number, draw_band) for number in numbers]
        decided = [
            0.5 if number == DRAW else float((number > DRAW) == (verdict == WIN))
            for verdict, number in zip(human, numbers, strict=True)
            if verdict != NO_DIFFERENCE
        ]
        rows.append(
            {
                "comparison": comparison,
                **_two_way(human, judge),
                "judge_draws": judge.count(NO_DIFFERENCE),
                "win_rate_people": (human.count(WIN) + human.count(NO_DIFFERENCE) / 2) / len(human),
                "win_rate_judge": sum(numbers) / len(numbers) - 1,
                "n_decided": len(decided),
                "same_side": sum(decided) / len(decided) if decided else None,
                "same_side_interval": wilson_interval(sum(decided), len(decided)),
            }
        )
    return rows


def _two_way(mine: list[str], theirs: list[str]) -> dict[str, Any]:
    table = _confusion(mine, theirs)
    n = len(mine)
    hits = sum(a == b for a, b in zip(mine, theirs, strict=True))
    interval = wilson_interval(hits, n)
    kappa = cohen_kappa(mine, theirs)
    sides = table.sum(axis=0) / n
    chance = float(sides.sum(axis=1) @ sides.sum(axis=0))
    return {
        "n": n,
        "agreement": hits / n,
        "agreement_interval": interval,
        "kappa": _defined(kappa),
        "kappa_interval": _interval(table, _kappa_of, kappa, interval, 1 - chance),
    }


def _interval(
    units: Array,
    of_sums: Callable[[Array, Array], Array],
    value: float,
    agreement: Interval,
    chance_disagreement: float,
) -> Interval | None:
    """Bootstrap interval of a coefficient over units (pairs), always the same for the same input.

    Where all pairs agree, or all are of one kind, as a single one is, no resample would differ and
    the interval would have no width: then it is that of the share of agreement, on the
    coefficient's scale.
    """
    if np.isnan(value):
        return None
    n = len(units)
    # Pairs with the same answers are one kind: few kinds are drawn, however many pairs there are.
    kinds, frequencies = np.unique(units, axis=0, return_counts=True)
    if value == 1.0 or len(kinds) == 1:
        low, high = (1 - (1 - share) / chance_disagreement for share in agreement)
        return max(-1.0, low), 1.0 if value == 1.0 else min(1.0, high)
    draws = np.random.default_rng(0).multinomial(n, frequencies / n, size=N_RESAMPLES)
    low, high = np.nanquantile(of_sums(draws.astype(np.float64), kinds), (0.025, 0.975))
    return float(low), float(high)


def _counts(judgements: pl.DataFrame) -> Array:
    """Pairs × outcomes."""
    table = judgements.group_by("pair_id", maintain_order=True).agg(
        (pl.col("outcome") == outcome).sum().alias(outcome) for outcome in OUTCOMES
    )
    return table.select(OUTCOMES).to_numpy().astype(np.float64)


def _pairable(counts: Array) -> Array:
    return counts[counts.sum(axis=1) >= 2]


def _disagreement(counts: Array) -> Array:
    """Share of the twos of annotators that disagree, for each pair."""
    n = counts.sum(axis=-1)
    return (n**2 - (counts**2).sum(axis=-1)) / (n * (n - 1))


def _alpha_of(weights: Array, counts: Array) -> Array:
    """α with each pair counted as often as its weight (resamples × pairs)."""
    sizes = counts.sum(axis=1)
    observed = weights @ (sizes * _disagreement(counts))
    n = weights @ sizes
    totals = weights @ counts
    expected = (n**2 - (totals**2).sum(axis=1)) / np.maximum(n - 1, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(expected > 0, 1 - observed / expected, np.nan)


def _confusion(first: list[str], second: list[str]) -> Array:
    """Pairs × answers × answers, a single 1 for each pair."""
    table = np.zeros((len(first), len(OUTCOMES), len(OUTCOMES)))
    for row, (mine, theirs) in enumerate(zip(first, second, strict=True)):
        table[row, OUTCOMES.index(mine), OUTCOMES.index(theirs)] = 1
    return table


def _kappa_of(weights: Array, table: Array) -> Array:
    return _kappa(np.einsum("rp,pij->rij", weights, table))


def _kappa(tables: Array) -> Array:
    """κ of each table of counts (resamples × answers × answers)."""
    shares = tables / tables.sum(axis=(1, 2), keepdims=True)
    observed = np.trace(shares, axis1=1, axis2=2)
    chance = (shares.sum(axis=1) * shares.sum(axis=2)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)


def _defined(value: float) -> float | None:
    return None if np.isnan(value) else value
