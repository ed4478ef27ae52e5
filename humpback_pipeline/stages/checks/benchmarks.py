"""Checks of benchmarks and safety: every model was measured on the same questions."""

from __future__ import annotations

import polars as pl

from humpback_pipeline.stages.checks.outcome import CheckOutcome

# With less probability on the verdicts the judge does not follow its prompt; with fewer verdicts
# that stay the same in every order of the options it chooses by their place.
MIN_SHARE = 0.5


def check_tasks_measured(results: pl.DataFrame) -> CheckOutcome:
    """Each model has a finite score for every task and metric, over as many questions."""
    keys = ["task", "metric"]
    n_models = results["model"].n_unique()
    uneven = (
        results.filter(pl.col("score").is_finite())
        .group_by(keys)
        .agg(n_models=pl.col("model").n_unique(), n_sizes=pl.col("n").n_unique())
        .filter((pl.col("n_models") < n_models) | (pl.col("n_sizes") > 1))
    )
    n_wrong = uneven.height + results.filter(~pl.col("score").is_finite()).height
    n = results.select(keys).unique().height
    facts = {"models": n_models, "measures": n, "wrong": n_wrong}
    if n and not n_wrong:
        message = f"{n_models} models measured on {n} metrics of the same questions."
        return CheckOutcome("tasks_measured", True, message, facts)
    message = (
        f"{n_wrong} of {n} metrics are missing for a model, not finite or of other questions. "
        "Materialise benchmark_results again with rebuild: true."
    )
    return CheckOutcome("tasks_measured", False, message, facts)


def check_safety_judge_follows(verdicts: pl.DataFrame) -> CheckOutcome:
    """The judge gives its verdicts most of its probability, and the same ones in every order."""
    judged = verdicts.select(
        mass=pl.col("choices_mass").mean(), consistent=pl.col("consistent").mean()
    ).row(0)
    mass, consistent = (float(value or 0.0) for value in judged)
    facts = {
        "mean_mass": round(mass, 4),
        "consistent": round(consistent, 4),
        "bound": MIN_SHARE,
        "verdicts": verdicts.height,
    }
    message = (
        f"The judge gives the three verdicts {mass:.2f} of its probability, and {consistent:.0%} "
        "of its verdicts are the same in all orders of the options."
    )
    if mass >= MIN_SHARE and consistent >= MIN_SHARE:
        return CheckOutcome("safety_judge_follows", True, message, facts)
    message += " Its verdicts say little: name a larger model in evaluation.judge."
    return CheckOutcome("safety_judge_follows", False, message, facts)
