"""Responses of each model, and how often they beat the references (paper section 3.4)."""

from __future__ import annotations

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Provenance

WIN_RATES = "win_rates"
RESPONSES_SCHEMA = {
    "prompt_id": pl.String,
    "instruction": pl.String,
    "output": pl.String,
    "reference": pl.String,
    "generator": pl.String,
    "n_tokens": pl.Int64,
    "finish_reason": pl.String,
}
PREFERENCES_SCHEMA = {
    "model": pl.String,
    "prompt_id": pl.String,
    "preference": pl.Float64,
    "p_first_order": pl.Float64,
    "p_second_order": pl.Float64,
}


def responses_name(iteration: int) -> str:
    """Name of M_t's responses to the evaluation prompts."""
    return f"{model_name(iteration)}_responses"


def write_responses(
    workspace: Workspace, iteration: int, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Let M_t answer the evaluation prompts, under both system tags (paper section 3.1)."""
    from humpback_pipeline.generation import generate_responses
    from humpback_pipeline.seeds import read_evaluation_prompts

    evaluation = workspace.recipe.evaluation
    name, model = responses_name(iteration), model_name(iteration)
    origin = workspace.origin(
        name,
        inputs=[workspace.models.manifest(model)],
        sources=file_source(evaluation.prompts, "evaluation.prompts").merged(
            [workspace.prompt_sources("tags")]
        ),
        settings={
            "sampling": evaluation.sampling.model_dump(),
            "max_prompts": evaluation.max_prompts,
            "generation": workspace.generation_settings(),
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    prompts = read_evaluation_prompts(evaluation.prompts)[: evaluation.max_prompts]
    with workspace.generator(workspace.models.path(model)) as generator:
        frame = generate_responses(
            prompts,
            generator,
            workspace.prompts,
            evaluation.sampling,
            ledger=workspace.ledger(name),
            chunk_size=workspace.recipe.generation.chunk_size,
            on_progress=on_progress,
            generator_name=model,
        )
    return workspace.write_dataset(
        origin,
        frame,
        RESPONSES_SCHEMA,
        facts={"n_cut": frame.filter(pl.col("finish_reason") == "length").height},
    )


def write_win_rates(workspace: Workspace, on_progress: OnProgress = ignore_progress) -> Manifest:
    """Judge every model's responses against the references, in both orders.

    Columns: `PREFERENCES_SCHEMA`; the win rates (AlpacaEval's definition) are in the facts.
    """
    from humpback_pipeline.evaluation import win_rate
    from humpback_pipeline.evaluation.pairwise import judge_pairs

    iterations = range(workspace.recipe.curation.iterations + 1)
    judge = workspace.judge
    origin = workspace.origin(
        WIN_RATES,
        inputs=[workspace.datasets.manifest(responses_name(t)) for t in iterations],
        sources=Provenance(base_models={judge.identity: judge.content_hash}).merged(
            [workspace.prompt_sources("judge")]
        ),
        settings={"generation": workspace.generation_settings()},
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    frames, rates = [], []
    with workspace.generator(judge.path) as generator:
        for iteration in iterations:
            model = model_name(iteration)
            responses = workspace.datasets.read(responses_name(iteration))
            preferences = judge_pairs(
                responses,
                generator,
                workspace.prompts,
                ledger=workspace.ledger(WIN_RATES, model),
                chunk_size=workspace.recipe.generation.chunk_size,
                on_progress=on_progress,
                stage=f"judging {model}",
            )
            frame = pl.DataFrame(
                {
                    "model": [model] * len(preferences),
                    "prompt_id": [p.prompt_id for p in preferences],
                    "preference": [p.preference for p in preferences],
                    "p_first_order": [p.p_first_order for p in preferences],
                    "p_second_order": [p.p_second_order for p in preferences],
                },
                schema=PREFERENCES_SCHEMA,
            )
            frames.append(frame)
            result = win_rate(frame["preference"].to_list())
            rates.append(
                {
                    "model": model,
                    "rate": result.rate,
                    "standard_error": result.standard_error,
                    "n_wins": result.n_wins,
                    "n_losses": result.n_losses,
                    "n_draws": result.n_draws,
                    "n": result.n,
                }
            )
    bias = (
        pl.concat(frames).select((pl.col("p_first_order") - pl.col("p_second_order")).mean()).item()
    )
    return workspace.write_dataset(
        origin,
        frames,
        PREFERENCES_SCHEMA,
        facts={
            "win_rates": rates,
            "judge": judge.identity,
            "position_bias": bias,
        },
    )
