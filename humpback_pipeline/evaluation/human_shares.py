"""What people's judgements add up to: a verdict for each pair, shares for each comparison."""

from __future__ import annotations

from typing import Any

import polars as pl

from .human_judgements import LOSS, OUTCOMES, WIN
from .human_pairs import FIRST, NO_DIFFERENCE
from .intervals import wilson_interval
from .paired_tests import holm

# With fewer, the interval of a share near one half is about 20 points wide or more.
FEW_PAIRS = 100
VERDICTS_SCHEMA = {
    "pair_id": pl.String,
    "comparison": pl.String,
    "prompt_id": pl.String,
    "model": pl.String,
    "baseline": pl.String,
    "n_annotators": pl.Int64,
    **dict.fromkeys(OUTCOMES, pl.Int64),
    "verdict": pl.String,
}


def verdicts(judgements: pl.DataFrame) -> pl.DataFrame:
    """One row a pair: the answer most annotators gave; no difference where two are as frequent.

    judgements: `JUDGEMENTS_SCHEMA`. Columns: `VERDICTS_SCHEMA`; win, no_difference and loss count
    annotators.
    """
    win, draw, loss = (pl.col(name) for name in OUTCOMES)
    return (
        judgements.group_by("pair_id", "comparison", "prompt_id", "model", "baseline")
        .agg(
            pl.len().cast(pl.Int64).alias("n_annotators"),
            *((pl.col("outcome") == name).sum().cast(pl.Int64).alias(name) for name in OUTCOMES),
        )
        .with_columns(
            verdict=pl.when((win > loss) & (win > draw))
            .then(pl.lit(WIN))
            .when((loss > win) & (loss > draw))
            .then(pl.lit(LOSS))
            .otherwise(pl.lit(NO_DIFFERENCE))
        )
        .select(pl.col(name).cast(dtype) for name, dtype in VERDICTS_SCHEMA.items())
        .sort("comparison", "pair_id")
    )


def human_shares(judgements: pl.DataFrame) -> list[dict[str, Any]]:
    """Shares of wins, no difference and losses for each comparison, by pairs' verdicts.

    Rows: comparison, model, baseline, n (pairs), n_judgements; for win, no_difference and loss the
    count n_…, the share and its 95 % interval …_interval (Wilson's); win_rate (no difference counts
    half) with win_rate_interval; p_value of as many wins or losses out of those decided if both
    were equally likely (two-sided sign test, None without any decided), p_adjusted the same as one
    of several tests (Holm); first_share: of all judgements that see a difference, how many prefer
    what was shown first, with first_share_interval; few_pairs: whether n is below `FEW_PAIRS`.
    """
    rows = []
    for (name,), frame in verdicts(judgements).group_by(["comparison"], maintain_order=True):
        n = frame.height
        counts = {outcome: int((frame["verdict"] == outcome).sum()) for outcome in OUTCOMES}
        points = counts[WIN] + counts[NO_DIFFERENCE] / 2
        mine = judgements.filter(pl.col("comparison") == name)
        decided = mine.filter(pl.col("choice") != NO_DIFFERENCE)["choice"]
        n_first = int((decided == FIRST).sum())
        rows.append(
            {
                "comparison": name,
                "model": frame["model"][0],
                "baseline": frame["baseline"][0],
                "n": n,
                "n_judgements": mine.height,
                **{f"n_{outcome}": count for outcome, count in counts.items()},
                **{outcome: count / n for outcome, count in counts.items()},
                **{f"{o}_interval": wilson_interval(count, n) for o, count in counts.items()},
                "win_rate": points / n,
                "win_rate_interval": wilson_interval(points, n),
                "p_value": _sign_test(counts[WIN], counts[LOSS]),
                "first_share": n_first / len(decided) if len(decided) else None,
                "first_share_interval": wilson_interval(n_first, len(decided)),
                "few_pairs": n < FEW_PAIRS,
            }
        )
    tested = {row["comparison"]: row["p_value"] for row in rows if row["p_value"] is not None}
    adjusted = dict(zip(tested, holm(list(tested.values())), strict=True))
    return [{**row, "p_adjusted": adjusted.get(row["comparison"])} for row in rows]


def _sign_test(n_wins: int, n_losses: int) -> float | None:
    from scipy.stats import binomtest

    if not n_wins + n_losses:
        return None
    return float(binomtest(n_wins, n_wins + n_losses).pvalue)
