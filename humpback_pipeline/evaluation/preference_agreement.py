"""Do ratings agree with preferences between two outputs for one prompt?"""

from __future__ import annotations

from typing import Any

import polars as pl

from .intervals import wilson_interval

LONGER_WINS = "longer output wins"
_BY_PROMPT = ["rater", "scorer", "prompt_id"]


def preference_agreement(ratings: pl.DataFrame) -> list[dict[str, Any]]:
    """Share of prompts whose preferred output is rated higher, equal ratings counting half.

    ratings: columns rater, scorer, prompt_id, preferred (bool), rating, output_chars; two rows a
    prompt. Prompts without both are left out.

    Rows: rater, scorer, agreement, interval (95 %), agreement_when_shorter (among prompts whose
    preferred output is the shorter: what is left of a rating that goes by length; None without
    any), n_shorter, n_ties, n. The last row is the baseline `LONGER_WINS`, with rater "".
    """
    preferred, other = (
        ratings.filter(pl.col("preferred") == wanted).drop("preferred") for wanted in (True, False)
    )
    both = preferred.join(
        other, on=_BY_PROMPT, suffix="_other", maintain_order="left"
    ).with_columns(
        agrees=_half_for_ties("rating"),
        longer=_half_for_ties("output_chars"),
        is_shorter=pl.col("output_chars") < pl.col("output_chars_other"),
    )
    rows = [
        _row(str(rater), str(scorer), frame, "agrees")
        for (rater, scorer), frame in both.group_by(["rater", "scorer"], maintain_order=True)
    ]
    if rows:
        rows.append(_row("", LONGER_WINS, both.unique("prompt_id"), "longer"))
    return rows


def _half_for_ties(column: str) -> pl.Expr:
    mine, others = pl.col(column), pl.col(f"{column}_other")
    return pl.when(mine > others).then(1.0).when(mine == others).then(0.5).otherwise(0.0)


def _row(rater: str, scorer: str, prompts: pl.DataFrame, column: str) -> dict[str, Any]:
    agrees = prompts[column]
    shorter = prompts.filter(pl.col("is_shorter"))[column]
    n_hits = float(agrees.sum())
    return {
        "rater": rater,
        "scorer": scorer,
        "agreement": n_hits / prompts.height,
        "interval": wilson_interval(n_hits, prompts.height),
        "agreement_when_shorter": float(shorter.sum()) / len(shorter) if len(shorter) else None,
        "n_shorter": len(shorter),
        "n_ties": int((agrees == 0.5).sum()),
        "n": prompts.height,
    }
