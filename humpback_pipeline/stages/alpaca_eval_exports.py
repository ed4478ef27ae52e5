"""Our responses and verdicts as AlpacaEval's own files, so that its tool runs on them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from humpback_pipeline.stages.responses import WIN_RATES, answers_by_model
from humpback_pipeline.stages.workspace import Workspace

if TYPE_CHECKING:
    from humpback_pipeline.evaluation.alpaca_eval_files import Annotation, ModelOutput
    from humpback_pipeline.seeds.records import EvaluationPrompt

REFERENCE = "reference"


def exports_folder(workspace: Workspace) -> Path:
    """Where a recipe's files in AlpacaEval's format are."""
    return workspace.home / "exports" / "alpaca_eval" / workspace.recipe.name


def write_alpaca_eval_files(workspace: Workspace) -> list[Path]:
    """Write the current responses and win rates as AlpacaEval's JSON; return the files' paths.

    `reference_outputs.json`, and for each model a folder with `model_outputs.json` and
    `annotations.json`. Each is replaced whole.
    """
    from humpback_pipeline.evaluation.alpaca_eval_files import (
        ANNOTATIONS,
        MODEL_OUTPUTS,
        REFERENCE_OUTPUTS,
        write_annotations,
        write_outputs,
    )
    from humpback_pipeline.seeds import read_evaluation_prompts

    folder = exports_folder(workspace)
    prompts = {
        prompt.prompt_id: prompt
        for prompt in read_evaluation_prompts(workspace.recipe.evaluation.prompts)
    }
    judge = str(workspace.datasets.manifest(WIN_RATES).facts["judge"])
    preferences = workspace.datasets.read(WIN_RATES)
    written = [folder / REFERENCE_OUTPUTS]
    for model, name in answers_by_model(workspace.recipe.curation.iterations).items():
        responses = workspace.datasets.read(name)
        if len(written) == 1:  # all models have the same references
            write_outputs(written[0], _references(responses, prompts))
        outputs, annotations = folder / model / MODEL_OUTPUTS, folder / model / ANNOTATIONS
        write_outputs(outputs, _outputs(responses, prompts))
        of_model = preferences.filter(pl.col("model") == model)
        write_annotations(annotations, annotations_of(responses, of_model, judge, prompts))
        written += [outputs, annotations]
    return written


def annotations_of(
    responses: pl.DataFrame,
    preferences: pl.DataFrame,
    judge: str,
    prompts: dict[str, EvaluationPrompt] | None = None,
) -> list[Annotation]:
    """One model's verdicts as annotations: output_1 is the reference, output_2 the model's.

    responses: `RESPONSES_SCHEMA`; preferences: prompt_id and preference. `prompts` tell the data
    set and who wrote the reference.
    """
    from humpback_pipeline.evaluation.alpaca_eval_files import Annotation

    prompts = prompts or {}
    judged = responses.join(
        preferences.select("prompt_id", "preference"), on="prompt_id", maintain_order="left"
    )
    return [
        Annotation(
            instruction=row["instruction"],
            output_1=row["reference"],
            output_2=row["output"],
            generator_1=_writer(prompts, row["prompt_id"]),
            generator_2=row["generator"],
            preference=row["preference"],
            annotator=judge,
            dataset=_dataset(prompts, row["prompt_id"]),
        )
        for row in judged.iter_rows(named=True)
    ]


def _outputs(
    responses: pl.DataFrame, prompts: dict[str, EvaluationPrompt]
) -> Iterable[ModelOutput]:
    from humpback_pipeline.evaluation.alpaca_eval_files import ModelOutput

    for row in responses.iter_rows(named=True):
        dataset = _dataset(prompts, row["prompt_id"])
        yield ModelOutput(row["instruction"], row["output"], row["generator"], dataset)


def _references(
    responses: pl.DataFrame, prompts: dict[str, EvaluationPrompt]
) -> Iterable[ModelOutput]:
    from humpback_pipeline.evaluation.alpaca_eval_files import ModelOutput

    for row in responses.iter_rows(named=True):
        prompt_id = row["prompt_id"]
        yield ModelOutput(
            row["instruction"],
            row["reference"],
            _writer(prompts, prompt_id),
            _dataset(prompts, prompt_id),
        )


def _writer(prompts: dict[str, EvaluationPrompt], prompt_id: str) -> str:
    """Who wrote the reference. All must have a name, or AlpacaEval's tool would not tell whose."""
    prompt = prompts.get(prompt_id)
    return (prompt.generator if prompt else "") or REFERENCE


def _dataset(prompts: dict[str, EvaluationPrompt], prompt_id: str) -> str:
    prompt = prompts.get(prompt_id)
    return prompt.dataset if prompt else ""
