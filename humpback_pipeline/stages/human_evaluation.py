"""Pairs for people to judge, and what they judged (paper section 3.4)."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.evaluation.human_exports import (
    ANNOTATORS_FOLDER,
    JUDGEMENTS_FOLDER,
    PAIRS_FILE,
    write_exports,
)
from humpback_pipeline.evaluation.human_judgements import JUDGEMENTS_SCHEMA
from humpback_pipeline.evaluation.human_pairs import PAIRS_SCHEMA, REFERENCE
from humpback_pipeline.recipe_human import FINAL
from humpback_pipeline.stages.human_judge import judge_inputs, judge_preferences
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.responses import answers_by_model
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Provenance, hash_file, hash_text

if TYPE_CHECKING:
    from humpback_pipeline.evaluation.human_judgements import Judgements

HUMAN_PAIRS = "human_evaluation_pairs"
HUMAN_EVALUATION = "human_evaluation"
# Of records that cannot be used, so many are kept to look at.
MAX_BAD_KEPT = 200


def human_folder(workspace: Workspace) -> Path:
    """Folder of the files for annotators, the key and the judgements."""
    return workspace.home / "human_evaluation"


def pairs_file(workspace: Workspace) -> Path:
    """What the judging page reads."""
    return human_folder(workspace) / ANNOTATORS_FOLDER / PAIRS_FILE


def judgements_folder(workspace: Workspace) -> Path:
    """Where finished judgements are looked for: the recipe's folder, else the home's own."""
    given = workspace.recipe.evaluation.human.judgements
    return human_folder(workspace) / JUDGEMENTS_FOLDER if given is None else given


def human_comparisons(workspace: Workspace) -> list[tuple[str, str]]:
    """(model, baseline) of the recipe's comparisons, by the models' names.

    Raises ValueError for a model that the recipe does not make or a comparison with itself.
    """
    return named_comparisons(
        workspace.recipe.evaluation.human.comparisons, workspace.recipe.curation.iterations
    )


def named_comparisons(
    comparisons: Sequence[tuple[str, str]], iterations: int
) -> list[tuple[str, str]]:
    """The comparisons with `final` as the last model's name; see `human_comparisons`."""
    final = model_name(iterations)
    known = {REFERENCE, *answers_by_model(iterations)}
    named = []
    for number, sides in enumerate(comparisons):
        model, baseline = (final if side == FINAL else side for side in sides)
        field = f"evaluation.human.comparisons[{number}]"
        if unknown := {model, baseline} - known:
            raise ValueError(
                f"{field}: there is no model {', '.join(sorted(unknown))}; curation.iterations is "
                f"{iterations}, so the models are base and m0 to {final}"
            )
        if model == baseline:
            raise ValueError(f"{field}: compares {model} with itself")
        named.append((model, baseline))
    return list(dict.fromkeys(named))


def write_human_pairs(workspace: Workspace) -> Manifest:
    """Choose the pairs, and write the files for annotators and the key beside them.

    Columns: `PAIRS_SCHEMA`, in the order in which they are judged. The files are written again if
    they are missing or differ, whether or not the pairs are new.
    """
    from humpback_pipeline.evaluation.human_pairs import human_pairs

    human = workspace.recipe.evaluation.human
    comparisons = human_comparisons(workspace)
    compared = {side for sides in comparisons for side in sides}
    answers = answers_by_model(workspace.recipe.curation.iterations)
    responses = {model: name for model, name in answers.items() if model in compared}
    datasets = workspace.datasets
    origin = workspace.origin(
        HUMAN_PAIRS,
        inputs=[datasets.manifest(name) for name in responses.values()],
        settings={
            "comparisons": comparisons,
            "n_pairs": human.n_pairs,
            "seed": human.seed,
        },
    )
    manifest = workspace.unchanged_dataset(origin)
    if manifest is None:
        frame = human_pairs(
            {model: datasets.read(name) for model, name in responses.items()},
            comparisons,
            n_pairs=human.n_pairs,
            seed=human.seed,
        )
        manifest = workspace.write_dataset(origin, frame, PAIRS_SCHEMA)
    write_exports(human_folder(workspace), datasets.read(HUMAN_PAIRS))
    judgements_folder(workspace).mkdir(parents=True, exist_ok=True)
    return manifest


def write_human_evaluation(workspace: Workspace) -> Manifest:
    """Import all judgements that are in the folder; none is fine.

    Columns: `JUDGEMENTS_SCHEMA`, a row for each pair and annotator. Facts: see `human_facts`.
    """
    from humpback_pipeline.evaluation.human_judgements import read_judgements

    human = workspace.recipe.evaluation.human
    folder = judgements_folder(workspace)
    origin = workspace.origin(
        HUMAN_EVALUATION,
        inputs=[workspace.datasets.manifest(HUMAN_PAIRS), *judge_inputs(workspace)],
        sources=_sources(folder),
        settings={
            "annotators_per_pair": human.annotators_per_pair,
            "judge_draw_band": human.judge_draw_band,
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    pairs = workspace.datasets.read(HUMAN_PAIRS)
    judgements = read_judgements(folder, pairs)
    return workspace.write_dataset(
        origin,
        judgements.frame,
        JUDGEMENTS_SCHEMA,
        facts=human_facts(
            judgements,
            pairs,
            judge_preferences(workspace, human_comparisons(workspace)),
            annotators_per_pair=human.annotators_per_pair,
            judge_draw_band=human.judge_draw_band,
        ),
    )


def human_facts(
    judgements: Judgements,
    pairs: pl.DataFrame,
    preferences: pl.DataFrame,
    *,
    annotators_per_pair: int,
    judge_draw_band: float,
) -> dict[str, Any]:
    """What the judgements say.

    shares: rows of `human_shares`; annotators: `annotator_agreement`; by_annotators: rows of
    `pairwise_agreement`; judge: rows of `judge_agreement`; judge_draw_band as given. n_pairs,
    n_judged (pairs with a judgement), n_complete (with as many as wanted), annotators_per_pair;
    n_files, n_records, n_unanswered, n_replaced, n_bad (reason → records), bad (the first of them).
    """
    from humpback_pipeline.evaluation.agreement import (
        annotator_agreement,
        judge_agreement,
        pairwise_agreement,
    )
    from humpback_pipeline.evaluation.human_shares import human_shares, verdicts

    frame = judgements.frame
    judged = verdicts(frame)
    return {
        "shares": human_shares(frame),
        "annotators": annotator_agreement(frame),
        "by_annotators": pairwise_agreement(frame),
        "judge": judge_agreement(judged, preferences, judge_draw_band),
        "judge_draw_band": judge_draw_band,
        "n_pairs": pairs.height,
        "n_judged": judged.height,
        "n_complete": judged.filter(pl.col("n_annotators") >= annotators_per_pair).height,
        "annotators_per_pair": annotators_per_pair,
        "n_files": judgements.n_files,
        "n_records": judgements.n_records,
        "n_unanswered": judgements.n_unanswered,
        "n_replaced": judgements.n_replaced,
        "n_bad": judgements.n_bad,
        "bad": [dataclasses.asdict(record) for record in judgements.bad[:MAX_BAD_KEPT]],
    }


def _sources(folder: Path) -> Provenance:
    """The judgements as one source, if there are any."""
    from humpback_pipeline.evaluation.human_files import judgement_files

    files = judgement_files(folder)
    if not files:
        return Provenance()
    content = hash_text("\n".join(f"{hash_file(file)} {file.name}" for file in files))
    return Provenance(datasets={"file/evaluation.human.judgements": content})
