"""Augmented pairs rated by another scorer than the recipe's, to see what it would have kept."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe_curation import ScorerName
from humpback_pipeline.stages.augmentation import backward_model_name
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.rater_calibration import scoring_of
from humpback_pipeline.stages.workspace import Workspace

RATINGS_LEDGER = "ablation_ratings"


def rate_pool(
    workspace: Workspace,
    iteration: int,
    scorer: ScorerName,
    pairs: pl.DataFrame,
    on_progress: OnProgress = ignore_progress,
) -> pl.DataFrame:
    """Rate `pairs` with M_{t-1} by `scorer`; columns segment_id, rating, value.

    pairs: columns segment_id, instruction, output. Answers go to ledgers that all variants share,
    so a pair is rated once. Raises what the scorer raises: ReferencePairsError, CalibrationError.
    """
    from humpback_pipeline.curation import Pair, Raters, find_scorer, read_instructions

    curation = workspace.recipe.curation.model_copy(update={"scorer": scorer})
    other = replace(workspace, recipe=workspace.recipe.model_copy(update={"curation": curation}))
    backward = backward_model_name(workspace.recipe, iteration)
    scoring = scoring_of(
        other,
        iteration,
        ledger=workspace.ledger(RATINGS_LEDGER, f"{scorer}_{iteration}"),
        backward_ledger=workspace.ledger(f"{backward}_readings", "ablations"),
        on_progress=on_progress,
    )
    texts = pairs.select("instruction", "output", "segment_id").iter_rows()
    listed = [Pair(instruction, output, pair_id=name) for instruction, output, name in texts]
    kind = find_scorer(scorer)
    with ExitStack() as stack:
        reader = None
        if kind.needs_reference:
            path = workspace.models.path(backward)
            with other.lazy_generator(path) as reading:
                read_instructions(listed, reading, scoring)
            # Its answers are in the ledger by now, so this engine does not start.
            reader = stack.enter_context(other.open_lazily(path))
        rater = workspace.models.path(model_name(iteration - 1))
        generator = stack.enter_context(other.lazy_generator(rater))
        ratings = kind.rate(listed, Raters.of(generator, reader), scoring)
    return pl.DataFrame(
        {
            "segment_id": pairs["segment_id"],
            "rating": [rating.rating for rating in ratings],
            "value": [rating.value for rating in ratings],
        },
        schema={"segment_id": pl.String, "rating": pl.Float64, "value": pl.Float64},
    )
