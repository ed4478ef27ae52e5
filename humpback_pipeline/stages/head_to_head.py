"""All models against each other on the evaluation prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.responses import responses_name
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

if TYPE_CHECKING:
    from humpback_pipeline.evaluation.pairwise import Preference

HEAD_TO_HEAD = "head_to_head"
HEAD_TO_HEAD_SCHEMA = {
    "model": pl.String,
    "opponent": pl.String,
    "prompt_id": pl.String,
    "preference": pl.Float64,
    "p_first_order": pl.Float64,
    "p_second_order": pl.Float64,
    "prompt_cut": pl.Boolean,
    "judge_error": pl.String,
}


def compared_answers(iterations: int) -> dict[str, str]:
    """M_0 … M_T → the datasets of their responses, in that order."""
    return {model_name(t): responses_name(t) for t in range(iterations + 1)}


def write_head_to_head(
    workspace: Workspace,
    on_progress: OnProgress = ignore_progress,
    further: Mapping[str, str] | None = None,
) -> Manifest:
    """Judge every two models' answers to the same prompts, in both orders, by the one judge.

    further: names of more models → datasets of their responses (`dataset` or `dataset/partition`).
    Columns: `HEAD_TO_HEAD_SCHEMA`, a row for each prompt of each pair of models. Facts: models,
    matrix (rows: `pair_rows`), overall (`overall_rows`), judge, position_bias and what belongs to
    it, costs, small_sample and undecided (what to say of few prompts and of a judge that prefers
    nothing, else None), plot (PNG as a data URI).
    """
    from humpback_pipeline.evaluation.head_to_head import (
        judge_head_to_head,
        model_pairs,
        paired_answers,
    )

    names = {**compared_answers(workspace.recipe.curation.iterations), **(further or {})}
    judge = workspace.judge
    origin = workspace.origin(
        HEAD_TO_HEAD,
        inputs=[workspace.datasets.manifest(*_place(name)) for name in names.values()],
        sources=judge.source().merged([workspace.prompt_sources("judge")]),
        settings={
            "judge": workspace.judge_settings(),
            "prices": _prices(workspace),
            "models": list(names),
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    answers = {model: workspace.datasets.read(*_place(name)) for model, name in names.items()}
    judged: dict[tuple[str, str], list[Preference]] = {}
    with workspace.judge_generator() as generator:
        for model, opponent in model_pairs(names):
            judged[model, opponent] = judge_head_to_head(
                paired_answers(answers[model], answers[opponent]),
                generator,
                workspace.prompts,
                ledger=workspace.ledger(HEAD_TO_HEAD, f"{model}-{opponent}"),
                chunk_size=workspace.recipe.generation.chunk_size,
                on_progress=on_progress,
                stage=f"judging {model} against {opponent}",
            )
    frames = [_frame(model, opponent, pairs) for (model, opponent), pairs in judged.items()]
    return workspace.write_dataset(
        origin,
        frames,
        HEAD_TO_HEAD_SCHEMA,
        facts={"judge": judge.identity, **_facts(workspace, list(names), frames, judged)},
    )


def pair_label(model: str, opponent: str) -> str:
    """What a pair of models is called in tables."""
    return f"{model} against {opponent}"


def _facts(
    workspace: Workspace,
    models: Sequence[str],
    frames: Sequence[pl.DataFrame],
    judged: Mapping[tuple[str, str], Sequence[Preference]],
) -> dict[str, Any]:
    from humpback_pipeline.evaluation import png_data_uri
    from humpback_pipeline.evaluation.head_to_head import overall_rows, pair_rows, small_sample
    from humpback_pipeline.evaluation.head_to_head_plot import head_to_head_plot
    from humpback_pipeline.evaluation.improvement import undecided_note
    from humpback_pipeline.stages.win_rates import judge_facts

    preferences = pl.concat(frames) if frames else pl.DataFrame(schema=HEAD_TO_HEAD_SCHEMA)
    rows = pair_rows(preferences)
    # Equal answers are a draw that nobody was asked about: they say nothing of the judge.
    named = {
        pair_label(*pair): [each for each in pairs if each.verdicts]
        for pair, pairs in judged.items()
    }
    return {
        "models": list(models),
        # Not a bare list: a model's own figures are looked for in those, and here it has several.
        "matrix": {"rows": rows},
        "overall": overall_rows(preferences, models),
        "small_sample": small_sample(rows),
        "undecided": undecided_note(preferences["preference"].to_list()),
        **judge_facts(named, _prices(workspace)),
        "plot": png_data_uri(head_to_head_plot(rows, models)),
    }


def _frame(model: str, opponent: str, preferences: Sequence[Preference]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {
                "model": model,
                "opponent": opponent,
                "prompt_id": pair.prompt_id,
                "preference": None if pair.is_refused else pair.preference,
                "p_first_order": pair.p_first_order,
                "p_second_order": pair.p_second_order,
                "prompt_cut": pair.prompt_cut,
                "judge_error": next((v.error for v in pair.verdicts if v.error), None),
            }
            for pair in preferences
        ],
        schema=HEAD_TO_HEAD_SCHEMA,
    )


def _place(name: str) -> tuple[str, str | None]:
    dataset, _, partition = name.partition("/")
    return dataset, partition or None


def _prices(workspace: Workspace) -> dict[str, float | None]:
    judge = workspace.recipe.evaluation.judge
    return {
        "usd_per_million_prompt_tokens": judge.usd_per_million_prompt_tokens,
        "usd_per_million_completion_tokens": judge.usd_per_million_completion_tokens,
    }
