"""Ablations side by side: a table by study, with the paper's figures, and the scaling curves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from .paired_tests import holm, paired_comparison
from .paper_ablations import paper_system_prompt
from .scaling import alpha_over_prompts, scaling_coefficient
from .win_rates import win_rate

ABLATIONS_SCHEMA = {
    "study": pl.String,
    "series": pl.String,
    "variant": pl.String,
    "n_seeds": pl.Int64,
    "n_augmented": pl.Int64,
    "n_examples": pl.Int64,
    "rate": pl.Float64,
    "standard_error": pl.Float64,
    "low": pl.Float64,
    "high": pl.Float64,
    "n": pl.Int64,
    "versus_final": pl.Float64,
    "versus_final_low": pl.Float64,
    "versus_final_high": pl.Float64,
    "p_value": pl.Float64,
    "p_adjusted": pl.Float64,
    "paper_rate": pl.Float64,
    "paper_standard_error": pl.Float64,
}
STUDY_TITLES = {
    "quality_quantity": "Quality against quantity",
    "joint_training": "Joint training",
    "system_prompts": "System prompts",
    "seed_count": "Number of seeds",
    "iterations": "Curation iterations",
    "scorers": "Scorers",
    "baselines": "Baselines",
}
_VERSUS = ("versus_final", "versus_final_low", "versus_final_high", "p_value")


def rate_row(preferences: Sequence[float | None]) -> dict[str, Any]:
    """Win rate, standard error and 95 % interval in percent, and what they are counted from."""
    result = win_rate(preferences)
    low, high = result.interval
    return {
        "rate": result.rate,
        "standard_error": None if math.isnan(result.standard_error) else result.standard_error,
        "low": low,
        "high": high,
        "n_wins": result.n_wins,
        "n_losses": result.n_losses,
        "n_draws": result.n_draws,
        "n": result.n,
    }


def compare_with_final(judged: pl.DataFrame, final: pl.DataFrame) -> dict[str, Any] | None:
    """A variant against the final model, prompt by prompt; None with fewer than two in common.

    Both: columns prompt_id, preference. versus_final: percentage points, below 0 where the final
    model does better; its 95 % interval; p_value: of the permutation test of `paired_comparison`.
    """
    both = judged.join(final, on="prompt_id", suffix="_final").drop_nulls(
        ["preference", "preference_final"]
    )
    if both.height < 2:
        return None
    found = paired_comparison(both["preference"].to_list(), both["preference_final"].to_list())
    low, high = found.interval
    return {
        "versus_final": found.difference,
        "versus_final_low": low,
        "versus_final_high": high,
        "p_value": found.p_value,
        "n": found.n,
    }


def ablation_table(
    facts: Mapping[str, Mapping[str, Any]], tags: Mapping[str, tuple[bool, str]]
) -> pl.DataFrame:
    """One row a variant, in the order given; columns `ABLATIONS_SCHEMA`.

    facts: variant → what its win rate's manifest says. tags: variant → (tags in training, tags at
    inference), by which the paper's row is found. p_adjusted: Holm's correction over all variants,
    as each that is tried is another chance to find a difference that is none.
    """
    rows = []
    for name, fact in facts.items():
        versus = fact["versus_final"] or {}
        paper = paper_system_prompt(*tags[name]) if fact["study"] == "system_prompts" else None
        rows.append(
            {
                "study": fact["study"],
                "series": fact["series"],
                "variant": name,
                "n_examples": fact["n_seeds"] + fact["n_augmented"],
                **{
                    column: fact[column]
                    for column in (
                        "n_seeds",
                        "n_augmented",
                        "rate",
                        "standard_error",
                        "low",
                        "high",
                        "n",
                    )
                },
                **{column: versus.get(column) for column in _VERSUS},
                "p_adjusted": None,
                "paper_rate": paper.rate if paper else None,
                "paper_standard_error": paper.standard_error if paper else None,
            }
        )
    tested = [row for row in rows if row["p_value"] is not None]
    for row, adjusted in zip(tested, holm([row["p_value"] for row in tested]), strict=True):
        row["p_adjusted"] = adjusted
    ordered = [{column: row[column] for column in ABLATIONS_SCHEMA} for row in rows]
    return pl.DataFrame(ordered, schema=ABLATIONS_SCHEMA)


def scaling_fits(
    table: pl.DataFrame, preferences: Mapping[str, pl.DataFrame]
) -> list[dict[str, Any]]:
    """α of w = α·ln(N) + C for each series of a study that has models of two sizes or more.

    table: `ABLATIONS_SCHEMA`; N is n_examples, all that a model was trained on. preferences:
    variant → columns prompt_id, preference. low, high: 95 % interval over prompts, None where the
    models share fewer than two; scatter: standard error of α from how far the points lie off the
    line, None with two of them.
    """
    fits = []
    for (study, series), rows in table.group_by(["study", "series"], maintain_order=True):
        points = rows.filter(pl.col("n_examples") > 0).sort("n_examples")
        if points["n_examples"].n_unique() < 2:
            continue
        sizes, rates = points["n_examples"].to_list(), points["rate"].to_list()
        fit = scaling_coefficient(sizes, rates)
        over = _over_prompts(sizes, [preferences[name] for name in points["variant"]])
        fits.append(
            {
                "study": study,
                "series": series,
                "alpha": fit.alpha,
                **over,
                "scatter": fit.standard_error,
                "intercept": fit.intercept,
                "r_squared": fit.r_squared,
                "points": fit.n,
                "sizes": f"{min(sizes):,} to {max(sizes):,}",
            }
        )
    return fits


def _over_prompts(sizes: Sequence[int], judged: Sequence[pl.DataFrame]) -> dict[str, Any]:
    shared = set.intersection(*(set(frame["prompt_id"]) for frame in judged))
    nothing = {"low": None, "high": None, "prompts": len(shared)}
    if not shared:
        return nothing
    rows = [
        dict(frame.select("prompt_id", "preference").iter_rows())  # prompt → preference
        for frame in judged
    ]
    order = sorted(shared)
    matrix = [[_number(row[prompt]) for prompt in order] for row in rows]
    try:
        found = alpha_over_prompts(sizes, matrix)
    except ValueError:  # no prompt has a usable verdict of all models
        return nothing
    return {"low": found.low, "high": found.high, "prompts": found.n_prompts}


def _number(preference: float | None) -> float:
    return math.nan if preference is None else preference
