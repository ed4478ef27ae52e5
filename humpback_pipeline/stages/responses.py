"""Responses of each model to the evaluation prompts (paper section 3.4), to be judged."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Origin, Provenance

WIN_RATES = "win_rates"
BASE = "base"
BASE_RESPONSES = f"{BASE}_responses"
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


def answers_by_model(iterations: int) -> dict[str, str]:
    """The base model and M_0 … M_T → the datasets of their responses, in that order."""
    trained = {model_name(t): responses_name(t) for t in range(iterations + 1)}
    return {BASE: BASE_RESPONSES, **trained}


def write_responses(
    workspace: Workspace, iteration: int, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Let M_t answer the evaluation prompts, under both system tags (paper section 3.1)."""
    name, model = responses_name(iteration), model_name(iteration)
    origin = workspace.origin(
        name,
        inputs=[workspace.models.manifest(model)],
        sources=_sources(workspace),
        settings=_settings(workspace),
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    return _write_answers(workspace, origin, workspace.models.path(model), model, on_progress)


def write_base_responses(
    workspace: Workspace, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Let the base model answer as M_0 … M_T do, though nothing has taught it the tags."""
    origin = workspace.origin(
        BASE_RESPONSES,
        sources=_sources(workspace).merged([workspace.base_model_source()]),
        settings=_settings(workspace),
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    return _write_answers(workspace, origin, workspace.base_model.path, BASE, on_progress)


def _sources(workspace: Workspace) -> Provenance:
    prompts = file_source(workspace.recipe.evaluation.prompts, "evaluation.prompts")
    return prompts.merged([workspace.prompt_sources("tags")])


def _settings(workspace: Workspace) -> dict[str, object]:
    evaluation = workspace.recipe.evaluation
    return {
        "sampling": evaluation.sampling.model_dump(),
        "max_prompts": evaluation.max_prompts,
        "generation": workspace.generation_settings(),
    }


def _write_answers(
    workspace: Workspace, origin: Origin, folder: Path, model: str, on_progress: OnProgress
) -> Manifest:
    from humpback_pipeline.generation import generate_responses
    from humpback_pipeline.seeds import read_evaluation_prompts

    evaluation = workspace.recipe.evaluation
    prompts = read_evaluation_prompts(evaluation.prompts)[: evaluation.max_prompts]
    with workspace.generator(folder) as generator:
        frame = generate_responses(
            prompts,
            generator,
            workspace.prompts,
            evaluation.sampling,
            ledger=workspace.ledger(origin.name),
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
