"""Checks of the evaluation: answers that are there and whole, and a judge that judged them all."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.storage import Manifest

# Above this the answers are judged by their beginnings.
MAX_CUT_SHARE = 0.5
# Of all pairs: more, and the win rates are those of the prompts that the judge cares to look at.
MAX_REFUSED_SHARE = 0.05


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
    """Each response has one preference from 1 to 2; `responses`: model → its responses.

    A few that a server refused to judge (`judge_error`) may have none.
    """
    rows: list[dict[str, str | int]] = []
    n, n_wrong, n_refused = 0, 0, 0
    for model, answers in responses.items():
        of_model = preferences.filter(pl.col("model") == model)
        judged = of_model.filter(pl.col("preference").is_between(1.0, 2.0))
        refused = _refused(of_model)
        missing = set(answers["prompt_id"]) ^ {*judged["prompt_id"], *refused}
        height = judged.height + len(refused)
        not_judged = max(len(missing), abs(height - answers.height))
        rows.append(
            {
                "model": model,
                "responses": answers.height,
                "not_judged": not_judged,
                "refused": len(refused),
            }
        )
        n, n_wrong, n_refused = n + answers.height, n_wrong + not_judged, n_refused + len(refused)
    facts = {"responses": n, "not_judged": n_wrong, "refused": n_refused, "models": rows}
    if n and not n_wrong and n_refused <= MAX_REFUSED_SHARE * n:
        message = f"{n - n_refused:,} answers of {len(rows)} models judged."
        if n_refused:
            message += f" The judge refused {n_refused:,} more, which the win rates leave out."
        return CheckOutcome("every_prompt_judged", True, message, facts)
    message = (
        f"{n_wrong:,} of {n:,} answers have no preference from 1 to 2, and the judge refused "
        f"{n_refused:,}, so the win rates are of different prompts. Materialise win_rates again "
        "with rebuild: true."
    )
    if n_refused:
        message += " Why the judge refused is under judge_error; another judge may not."
    return CheckOutcome("every_prompt_judged", False, message, facts)


def _refused(preferences: pl.DataFrame) -> list[str]:
    if "judge_error" not in preferences.columns:
        return []
    refused = pl.col("preference").is_null() & pl.col("judge_error").is_not_null()
    return preferences.filter(refused)["prompt_id"].to_list()


def check_position_bias(manifest: Manifest, max_bias: float) -> CheckOutcome:
    """How far the judge favours what it sees first (above 0) or last (below 0)."""
    bias = manifest.facts["position_bias"]
    if bias is None:
        return CheckOutcome("position_bias", True, "Nothing was judged.")
    side = "first" if bias >= 0 else "last"
    message = f"The judge favours what it is shown {side} by a probability of {abs(bias):.3f}"
    facts = {"position_bias": bias, "bound": max_bias}
    if details := manifest.facts.get("position_bias_details"):
        low, high = details["interval"]
        message += (
            f" (95 % {low:+.3f} … {high:+.3f}), and the order alone decides "
            f"{details['flip_rate']:.0%} of the verdicts"
        )
        facts |= {"low": low, "high": high, "flip_rate": details["flip_rate"]}
    message += "."
    if abs(bias) <= max_bias:
        return CheckOutcome("position_bias", True, message, facts)
    message += (
        f" More than {max_bias:g}: both orders are averaged, but what is left is noisy. "
        "Name a larger model in evaluation.judge."
    )
    return CheckOutcome("position_bias", False, message, facts)
