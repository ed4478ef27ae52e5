"""How often each model's responses beat the references, and each other (paper section 3.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.alpaca_eval_exports import annotations_of
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.responses import PREFERENCES_SCHEMA, WIN_RATES, answers_by_model
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, hash_file

if TYPE_CHECKING:
    from humpback_pipeline.evaluation.pairwise import Preference

# A refused pair has no preference.
WIN_RATES_SCHEMA = {
    **PREFERENCES_SCHEMA,
    "verdict_mass": pl.Float64,
    "prompt_cut": pl.Boolean,
    "flips": pl.Boolean,
    "judge_error": pl.String,
    "n_prompt_tokens": pl.Int64,
    "n_completion_tokens": pl.Int64,
}


def write_win_rates(workspace: Workspace, on_progress: OnProgress = ignore_progress) -> Manifest:
    """Judge every model's responses against the references, in both orders.

    Columns: `WIN_RATES_SCHEMA`. Facts: win_rates (AlpacaEval's figures, a row a model),
    win_rate_details (intervals, lengths, the judge's behaviour), comparisons (paired tests between
    models), position_bias and what belongs to it, costs, judge, small_sample. Raises
    DifferentPromptsError where the models did not answer the same prompts.
    """
    from humpback_pipeline.evaluation.head_to_head import check_same_prompts
    from humpback_pipeline.evaluation.pairwise import judge_pairs

    names = answers_by_model(workspace.recipe.curation.iterations)
    judge = workspace.judge
    prices = _prices(workspace)
    inputs = [workspace.datasets.manifest(name) for name in names.values()]
    origin = workspace.origin(
        WIN_RATES,
        inputs=inputs,
        sources=judge.source().merged([workspace.prompt_sources("judge")]),
        settings={
            "judge": workspace.judge_settings(),
            "prices": prices,
            **_length_control_table(inputs[0].rows),
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    responses = {model: workspace.datasets.read(name) for model, name in names.items()}
    check_same_prompts(responses)
    judged: dict[str, list[Preference]] = {}
    with workspace.judge_generator() as generator:
        for model, answers in responses.items():
            judged[model] = judge_pairs(
                answers,
                generator,
                workspace.prompts,
                ledger=workspace.ledger(WIN_RATES, model),
                chunk_size=workspace.recipe.generation.chunk_size,
                on_progress=on_progress,
                stage=f"judging {model}",
            )
    frames = {model: preferences_frame(model, pairs) for model, pairs in judged.items()}
    return workspace.write_dataset(
        origin,
        list(frames.values()),
        WIN_RATES_SCHEMA,
        facts={
            "judge": judge.identity,
            "judge_settings": workspace.judge_settings(),
            **_rates(frames, responses, judge.identity),
            "comparisons": comparisons(frames),
            **judge_facts(judged, prices),
        },
    )


def preferences_frame(model: str, preferences: Sequence[Preference]) -> pl.DataFrame:
    """The judge's verdicts on one model's answers; columns `WIN_RATES_SCHEMA`."""
    return pl.DataFrame(
        [
            {
                "model": model,
                "prompt_id": pair.prompt_id,
                "preference": None if pair.is_refused else pair.preference,
                "p_first_order": pair.p_first_order,
                "p_second_order": pair.p_second_order,
                "verdict_mass": pair.mass,
                "prompt_cut": pair.prompt_cut,
                "flips": pair.flips,
                "judge_error": next((v.error for v in pair.verdicts if v.error), None),
                "n_prompt_tokens": _sum(v.n_prompt_tokens for v in pair.verdicts),
                "n_completion_tokens": _sum(v.n_completion_tokens for v in pair.verdicts),
            }
            for pair in preferences
        ],
        schema=WIN_RATES_SCHEMA,
    )


def comparisons(frames: Mapping[str, pl.DataFrame]) -> list[dict[str, Any]]:
    """Each model against the one before it, and M_2 … M_T against M_0, prompt by prompt.

    frames: model → its preferences, in the models' order. The p-values are one family (Holm). Rows:
    compared, against, and the fields of `PairedComparison`, its interval as low and high.
    """
    from humpback_pipeline.evaluation.paired_tests import paired_comparison, with_holm

    models, seed_model = list(frames), model_name(0)
    pairs = [(models[i], models[i - 1]) for i in range(1, len(models))]
    if seed_model in models:
        later = models[models.index(seed_model) + 2 :]
        pairs += [(model, seed_model) for model in later]
    tests = []
    for compared, against in pairs:
        both = frames[compared].join(frames[against], on="prompt_id", maintain_order="left")
        if both.drop_nulls(["preference", "preference_right"]).height < 2:
            continue
        columns = (both["preference"].to_list(), both["preference_right"].to_list())
        tests.append(((compared, against), paired_comparison(*columns)))
    rows = []
    for ((compared, against), _), test in zip(
        tests, with_holm([test for _, test in tests]), strict=True
    ):
        figures = asdict(test)
        low, high = figures.pop("interval")
        rows.append({"compared": compared, "against": against, "low": low, "high": high, **figures})
    return rows


def judge_facts(
    judged: Mapping[str, Sequence[Preference]], prices: Mapping[str, float | None]
) -> dict[str, Any]:
    """How the judge behaved and what it cost: position_bias and what belongs to it, and costs."""
    from humpback_pipeline.evaluation.judge_costs import JudgePrices, cost_rows, judge_cost
    from humpback_pipeline.evaluation.position_bias import position_bias

    everything = [pair for pairs in judged.values() for pair in pairs]
    bias = position_bias(everything)
    costs = {model: judge_cost(pairs, JudgePrices(**prices)) for model, pairs in judged.items()}
    return {
        "position_bias": bias.bias if bias else None,
        "position_bias_details": asdict(bias) if bias else None,
        "n_refused": sum(pair.is_refused for pair in everything),
        "costs": cost_rows(costs),
    }


def _rates(
    frames: Mapping[str, pl.DataFrame], responses: Mapping[str, pl.DataFrame], judge: str
) -> dict[str, Any]:
    """Win rates as AlpacaEval defines them; a model of which nothing was judged has none."""
    from humpback_pipeline.evaluation import win_rate
    from humpback_pipeline.evaluation.annotation_rates import try_length_control
    from humpback_pipeline.evaluation.win_rates import small_sample_note

    rates, details, widest = [], [], 0.0
    for model, frame in frames.items():
        if frame["preference"].is_null().all():
            continue
        result = win_rate(frame["preference"].to_list())
        answers = responses[model]
        annotations = annotations_of(answers, frame, judge)
        controlled, note = try_length_control(annotations, fall_back=True)
        low, high = result.interval
        widest = max(widest, (high - low) / 2)
        figures = asdict(result)
        n_unusable = figures.pop("n_unusable")
        rates.append(
            {
                "model": model,
                **figures,
                "length_controlled_rate": controlled.rate if controlled else None,
                "length_controlled_method": controlled.method if controlled else None,
            }
        )
        details.append(
            {
                "model": model,
                "interval_low": low,
                "interval_high": high,
                "n_unusable": n_unusable,
                "length_note": note,
                "output_chars_mean": _mean_chars(answers, "output"),
                "reference_chars_mean": _mean_chars(answers, "reference"),
                "flip_rate": frame.select(pl.col("flips").cast(pl.Float64).mean()).item(),
                "verdict_mass_mean": frame.select(pl.col("verdict_mass").mean()).item(),
                "n_prompts_cut": int(frame["prompt_cut"].sum()),
            }
        )
    n = min((rate["n"] for rate in rates), default=0)
    warning = small_sample_note(n, widest) if rates else None
    return {"win_rates": rates, "win_rate_details": details, "small_sample": warning}


def _length_control_table(n_prompts: int | None) -> dict[str, str | None]:
    """What the leaderboard's formula needs and may be there later: then the rates are made anew."""
    from humpback_pipeline.evaluation.calibration import (
        N_ALPACA_EVAL_PROMPTS,
        CalibrationTableMissingError,
        find_calibration,
    )

    if n_prompts != N_ALPACA_EVAL_PROMPTS:
        return {}
    try:
        table = find_calibration(None, download=False)
    except CalibrationTableMissingError:
        return {"length_control_table": None}
    return {"length_control_table": hash_file(table)}


def _prices(workspace: Workspace) -> dict[str, float | None]:
    judge = workspace.recipe.evaluation.judge
    return {
        "usd_per_million_prompt_tokens": judge.usd_per_million_prompt_tokens,
        "usd_per_million_completion_tokens": judge.usd_per_million_completion_tokens,
    }


def _mean_chars(answers: pl.DataFrame, column: str) -> float:
    return float(answers.select(pl.col(column).str.len_chars().mean()).item() or 0.0)


def _sum(counts: Any) -> int | None:
    known = list(counts)
    return None if not known or any(count is None for count in known) else sum(known)
