"""Checks of the evaluation: answers that are there and whole, and a judge that judged them all."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.storage import Manifest

# Above this the answers are judged by their beginnings.
MAX_CUT_SHARE = 0.5


def check_responses_not_empty(responses: pl.DataFrame) -> CheckOutcome:
    """Some answers hold words; a model that says nothing has nothing to be judged."""
    n = responses.height
    n_empty = responses.filter(~pl.col("output").str.contains(r"\w")).height
    facts = {"responses": n, "empty": n_empty}
    if n_empty < n:
        message = f"{n - n_empty:,} of {n:,} answers hold words."
        return CheckOutcome("responses_not_empty", True, message, facts)
    message = f"All {n:,} answers are empty: the model ends its turn at once. Look at its training."
    return CheckOutcome("responses_not_empty", False, message, facts)


def check_responses_cut(responses: pl.DataFrame) -> CheckOutcome:
    """Few answers were cut at max_new_tokens."""
    n = responses.height
    n_cut = responses.filter(pl.col("finish_reason") == "length").height
    share = n_cut / n if n else 0.0
    facts = {"responses": n, "cut": n_cut, "cut_share": round(share, 4)}
    message = f"{n_cut:,} of {n:,} answers were cut at max_new_tokens ({share:.0%})."
    if share <= MAX_CUT_SHARE:
        return CheckOutcome("responses_cut", True, message, facts)
    message += " Raise evaluation.sampling.max_new_tokens, or the model has not learnt to stop."
    return CheckOutcome("responses_cut", False, message, facts)


def check_every_prompt_judged(
    preferences: pl.DataFrame, responses: Mapping[str, pl.DataFrame]
) -> CheckOutcome:
    """Each response has one preference from 1 to 2; `responses`: model → its responses."""
    rows: list[dict[str, str | int]] = []
    n, n_wrong = 0, 0
    for model, answers in responses.items():
        judged = preferences.filter(
            (pl.col("model") == model) & pl.col("preference").is_between(1.0, 2.0)
        )
        missing = set(answers["prompt_id"]) ^ set(judged["prompt_id"])
        not_judged = max(len(missing), abs(judged.height - answers.height))
        rows.append({"model": model, "responses": answers.height, "not_judged": not_judged})
        n, n_wrong = n + answers.height, n_wrong + not_judged
    facts = {"responses": n, "not_judged": n_wrong, "models": rows}
    if n and not n_wrong:
        message = f"{n:,} answers of {len(rows)} models judged."
        return CheckOutcome("every_prompt_judged", True, message, facts)
    message = (
        f"{n_wrong:,} of {n:,} answers have no preference from 1 to 2, so the win rates are of "
        "different prompts. Materialise win_rates again with rebuild: true."
    )
    return CheckOutcome("every_prompt_judged", False, message, facts)


def check_position_bias(manifest: Manifest, max_bias: float) -> CheckOutcome:
    """How far the judge favours what it sees first (above 0) or last (below 0)."""
    bias = manifest.facts["position_bias"]
    if bias is None:
        return CheckOutcome("position_bias", True, "Nothing was judged.")
    side = "first" if bias >= 0 else "last"
    message = f"The judge favours what it is shown {side} by a probability of {abs(bias):.3f}."
    facts = {"position_bias": bias, "bound": max_bias}
    if abs(bias) <= max_bias:
        return CheckOutcome("position_bias", True, message, facts)
    message += (
        f" More than {max_bias:g}: both orders are averaged, but what is left is noisy. "
        "Name a larger model in evaluation.judge."
    )
    return CheckOutcome("position_bias", False, message, facts)
