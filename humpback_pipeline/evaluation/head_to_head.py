"""Models against each other: their answers to the same prompts, judged pair by pair."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress

from .paired_tests import holm, paired_comparison
from .win_rates import small_sample_note, win_rate

if TYPE_CHECKING:
    from humpback_pipeline.chat import Prompts
    from humpback_pipeline.generation import Ledger, TextGenerator

    from .pairwise import Preference

_DRAW = 1.5
SIGNIFICANT = 0.05


class DifferentPromptsError(ValueError):
    """Two sets of answers are not to the same prompts."""


def model_pairs(models: Iterable[str]) -> list[tuple[str, str]]:
    """Every two models once, as (model, opponent): the model is the later one."""
    return [(later, earlier) for earlier, later in combinations(models, 2)]


def paired_answers(answers: pl.DataFrame, opponents: pl.DataFrame) -> pl.DataFrame:
    """Two models' answers side by side, in the order of the first.

    answers, opponents: columns prompt_id, instruction, output. Returned: prompt_id, instruction,
    output (the first model's), reference (the opponent's), as `judge_pairs` takes them. Raises
    DifferentPromptsError if either has a prompt that the other lacks, or an id has two prompts.
    """
    both = answers.select("prompt_id", "instruction", "output").join(
        opponents.select(
            "prompt_id",
            pl.col("instruction").alias("their_instruction"),
            pl.col("output").alias("reference"),
        ),
        on="prompt_id",
        maintain_order="left",
    )
    if not answers.height == opponents.height == both.height:
        raise DifferentPromptsError(
            f"{answers.height} answers of one model and {opponents.height} of the other share "
            f"{both.height} prompts; let both answer the same prompts (evaluation.prompts)."
        )
    different = both.filter(pl.col("instruction") != pl.col("their_instruction"))
    if different.height:
        raise DifferentPromptsError(
            f"prompt {different['prompt_id'][0]!r} is another text for each of the two models, and "
            f"so are {different.height - 1} more; let both answer the same prompts."
        )
    return both.drop("their_instruction")


def check_same_prompts(answers: Mapping[str, pl.DataFrame]) -> None:
    """That all models answered the same prompts with the same references.

    answers: model → columns prompt_id, instruction, reference, in any order. Raises
    DifferentPromptsError, as rates over other prompts or references cannot be compared.
    """
    columns = ("prompt_id", "instruction", "reference")
    asked = {model: set(frame.select(columns).iter_rows()) for model, frame in answers.items()}
    first = next(iter(asked), None)
    for model, prompts in asked.items():
        if first is not None and prompts != asked[first]:
            n_differing = len({prompt_id for prompt_id, *_ in prompts ^ asked[first]})
            raise DifferentPromptsError(
                f"{model} and {first} did not answer the same prompts, or have other references "
                f"({n_differing} prompts differ), as when evaluation.prompts "
                "has changed since one of them answered; materialise the responses of all "
                "models again."
            )


def judge_head_to_head(
    pairs: pl.DataFrame,
    generator: TextGenerator,
    prompts: Prompts,
    *,
    ledger: Ledger | None = None,
    chunk_size: int = 1_024,
    stage: str = "judging",
    on_progress: OnProgress = ignore_progress,
) -> list[Preference]:
    """Judge two models' answers (`paired_answers`) in both orders, one Preference a row.

    The judge is not asked about two equal answers: they are a draw, whatever it would say.
    """
    from .pairwise import judge_pairs

    equal = pl.col("output").str.strip_chars() == pl.col("reference").str.strip_chars()
    judged = judge_pairs(
        pairs.filter(~equal),
        generator,
        prompts,
        ledger=ledger,
        chunk_size=chunk_size,
        stage=stage,
        on_progress=on_progress,
    )
    known = {preference.prompt_id: preference for preference in judged}
    return [known.get(prompt_id) or _draw(prompt_id) for prompt_id in pairs["prompt_id"]]


def pair_rows(preferences: pl.DataFrame) -> list[dict[str, Any]]:
    """How often each model is preferred to each other one; a row for both directions of a pair.

    preferences: columns model, opponent, prompt_id, preference (1.0 opponent … 2.0 model, null if
    the judge refused). Rows: model, opponent, rate, standard_error, low, high (95 % interval), all
    in percent, n_wins, n_losses, n_draws, n, n_unusable; p_value: two-sided sign-flip permutation
    test that the mean is 50 %; sign_p: exact sign test of wins against losses; p_adjusted: p_value
    by Holm over all pairs; n_prompts. Pairs of which nothing was judged are left out.
    """
    measured = []
    for (model, opponent), group in preferences.group_by("model", "opponent", maintain_order=True):
        values = group["preference"].to_list()
        usable = [value for value in values if value is not None]
        if not usable:
            continue
        tests = {"p_value": 1.0, "sign_p": 1.0}
        if len(usable) > 1:
            # On a prompt the opponent has what the model has not, so each is paired with itself.
            compared = paired_comparison(usable, [2 * _DRAW - value for value in usable])
            tests = {"p_value": compared.p_value, "sign_p": compared.mcnemar_p}
        measured.append((str(model), str(opponent), values, tests))
    adjusted = holm([tests["p_value"] for *_, tests in measured])
    rows = []
    for (model, opponent, values, tests), p_adjusted in zip(measured, adjusted, strict=True):
        figures = {**tests, "p_adjusted": p_adjusted}
        rows.append(_row(model, opponent, values, figures))
        mirrored = [None if value is None else 2 * _DRAW - value for value in values]
        rows.append(_row(opponent, model, mirrored, figures))
    return rows


def overall_rows(preferences: pl.DataFrame, models: Sequence[str]) -> list[dict[str, Any]]:
    """How often each model is preferred over all its opponents together, best first.

    Each opponent counts the same: a prompt's preference is the mean over the opponents, so the
    standard error is over prompts and not over comparisons, which share answers. Rows: model, rate,
    standard_error, low, high, in percent, n (prompts), n_opponents.
    """
    rows = []
    as_model = preferences.select("model", "opponent", "prompt_id", "preference")
    as_opponent = preferences.select(
        pl.col("opponent").alias("model"),
        pl.col("model").alias("opponent"),
        "prompt_id",
        (2 * _DRAW - pl.col("preference")).alias("preference"),
    )
    both = pl.concat([as_model, as_opponent]).drop_nulls("preference")
    for model in models:
        own = both.filter(pl.col("model") == model)
        if not own.height:
            continue
        of_prompts = own.group_by("prompt_id", maintain_order=True).agg(pl.col("preference").mean())
        result = win_rate(of_prompts["preference"].to_list())
        low, high = result.interval
        rows.append(
            {
                "model": model,
                "rate": result.rate,
                "standard_error": result.standard_error,
                "low": low,
                "high": high,
                "n": result.n,
                "n_opponents": own["opponent"].n_unique(),
            }
        )
    return sorted(rows, key=lambda row: -row["rate"])


def small_sample(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """What to say of few prompts; None if there are enough, or nothing was compared."""
    if not rows:
        return None
    widest = max((row["high"] - row["low"]) / 2 for row in rows)
    return small_sample_note(min(row["n"] for row in rows), widest)


def _draw(prompt_id: str) -> Preference:
    from .pairwise import Preference

    return Preference(prompt_id, preference=_DRAW, p_first_order=0.5, p_second_order=0.5)


def _row(
    model: str, opponent: str, values: Sequence[float | None], tests: Mapping[str, float]
) -> dict[str, Any]:
    result = win_rate(values)
    low, high = result.interval
    return {
        "model": model,
        "opponent": opponent,
        "rate": result.rate,
        "standard_error": result.standard_error,
        "low": low,
        "high": high,
        "n_wins": result.n_wins,
        "n_losses": result.n_losses,
        "n_draws": result.n_draws,
        "n": result.n,
        "n_unusable": result.n_unusable,
        **tests,
    }
