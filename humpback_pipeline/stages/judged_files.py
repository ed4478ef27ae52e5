"""Anyone's answers, in AlpacaEval's files, judged by the recipe's judge."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.alpaca_eval_exports import exports_folder
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import hash_text

if TYPE_CHECKING:
    from humpback_pipeline.evaluation.alpaca_eval_files import ModelOutput

JUDGED_FILES = "judged_files"


def judge_files(
    workspace: Workspace,
    model_outputs: Path,
    reference_outputs: Path,
    on_progress: OnProgress = ignore_progress,
) -> Path:
    """Judge a file of outputs against a file of references; return the `annotations.json` written.

    Both are in AlpacaEval's format, and are paired by instruction, as its tool does; references to
    other instructions are not needed. Verdicts are kept in a ledger of these two files, so that a
    killed judging goes on where it was. Raises AlpacaEvalFileError for an instruction that occurs
    twice or has no reference; what the judge raises.
    """
    from humpback_pipeline.evaluation.alpaca_eval_files import (
        ANNOTATIONS,
        Annotation,
        read_outputs,
        write_annotations,
    )
    from humpback_pipeline.evaluation.pairwise import judge_pairs

    outputs = read_outputs(model_outputs)
    references = _by_instruction(read_outputs(reference_outputs), reference_outputs)
    _check_paired(_by_instruction(outputs, model_outputs), references, reference_outputs)
    frame = pl.DataFrame(
        {
            "prompt_id": [hash_text(output.instruction)[:16] for output in outputs],
            "instruction": [output.instruction for output in outputs],
            "output": [output.output for output in outputs],
            "reference": [references[output.instruction].output for output in outputs],
        }
    )
    files = hash_text(f"{model_outputs.absolute()} {reference_outputs.absolute()}")[:16]
    with workspace.judge_generator() as generator:
        judged = judge_pairs(
            frame,
            generator,
            workspace.prompts,
            ledger=workspace.ledger(JUDGED_FILES, files),
            chunk_size=workspace.recipe.generation.chunk_size,
            stage=f"judging {model_outputs.name}",
            on_progress=on_progress,
        )
    model = outputs[0].generator or model_outputs.stem
    folder = re.sub(r"[^\w.-]+", "_", model).lstrip(".") or "model"
    path = exports_folder(workspace) / "judged" / folder / ANNOTATIONS
    write_annotations(
        path,
        [
            Annotation(
                instruction=output.instruction,
                output_1=references[output.instruction].output,
                output_2=output.output,
                generator_1=references[output.instruction].generator or reference_outputs.stem,
                generator_2=output.generator or model,
                preference=None if preference.is_refused else preference.preference,
                annotator=workspace.judge.identity,
                dataset=output.dataset,
            )
            for output, preference in zip(outputs, judged, strict=True)
        ],
    )
    return path


def _by_instruction(outputs: list[ModelOutput], path: Path) -> dict[str, ModelOutput]:
    from humpback_pipeline.evaluation.alpaca_eval_files import AlpacaEvalFileError

    found: dict[str, ModelOutput] = {}
    for output in outputs:
        if output.instruction in found:
            raise AlpacaEvalFileError(
                f"{path}: the instruction {output.instruction[:60]!r} occurs twice; give one "
                "answer to each"
            )
        found[output.instruction] = output
    return found


def _check_paired(
    outputs: dict[str, ModelOutput], references: dict[str, ModelOutput], path: Path
) -> None:
    from humpback_pipeline.evaluation.alpaca_eval_files import AlpacaEvalFileError

    if missing := [instruction for instruction in outputs if instruction not in references]:
        raise AlpacaEvalFileError(
            f"{path}: no reference for {len(missing)} of {len(outputs)} instructions, such as "
            f"{missing[0][:60]!r}; give the references of the same prompts"
        )
