"""How each rater rates pairs whose quality is known: what its ratings of the rest mean.

The seed pairs' likelihoods are what percentile ranks are taken against, in every shard alike; the
labelled pairs say how precise a threshold is, and fit the calibrated scorer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.augmentation import backward_model_name
from humpback_pipeline.stages.carrying import carry_calibration, is_carried
from humpback_pipeline.stages.iteration_names import calibration_name, model_name
from humpback_pipeline.stages.known_pairs import SEED, known_pairs_sources
from humpback_pipeline.stages.known_ratings import (
    CALIBRATION_SCHEMA,
    compared_scorers,
    rate_known_pairs,
)
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.seen_pairs import SEEN, seen_counts
from humpback_pipeline.stages.stopping import stopped_at
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, hash_text

if TYPE_CHECKING:
    from humpback_pipeline.curation import Scoring
    from humpback_pipeline.generation import Ledger


def write_rater_calibration(
    workspace: Workspace, iteration: int, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Rate all known pairs with M_{t-1}, by every compared scorer. Columns: `CALIBRATION_SCHEMA`.

    Ratings go to a ledger as they come, so a killed run resumes. In the facts: the calibration, if
    one could be fitted; how many pairs each set shares with the seeds (`seen_counts`); and the
    reference: how many seed pairs, n_in_seeds of which M_0 and M_yx were trained on. Where M_{t-1}
    is M_{t-2} carried on, so are its ratings.
    """
    if (
        iteration > 1
        and stopped_at(workspace, iteration - 1)
        and is_carried(workspace, iteration - 1)
    ):
        return carry_calibration(workspace, iteration)
    rater = model_name(iteration - 1)
    backward = backward_model_name(workspace.recipe, iteration)
    recipe = workspace.recipe
    origin = workspace.origin(
        calibration_name(iteration),
        inputs=[
            workspace.models.manifest(rater),
            workspace.models.manifest(backward),
            workspace.datasets.manifest(SEED_PAIRS),
        ],
        sources=known_pairs_sources(workspace).merged(
            [workspace.prompt_sources("rating", "tags", "backward")]
        ),
        settings={
            "scorers": compared_scorers(workspace),
            "rating": rating_settings(workspace, compared_scorers(workspace)),
            "max_reference_pairs": recipe.curation.max_reference_pairs,
            "max_preferences": recipe.evaluation.max_preferences,
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    frame, calibration = rate_known_pairs(
        workspace, rater, workspace.models.path(rater), backward, on_progress
    )
    seeds = _reference_rows(frame)
    facts = {
        "rater": rater,
        "backward_model": backward,
        "calibration": calibration.as_dict() if calibration is not None else None,
        "n_errors": frame.filter(pl.col("error").is_not_null()).height,
        SEEN: seen_counts(frame),
        "reference": {"n": seeds.height, "n_in_seeds": int(seeds["seen"].sum())},
    }
    return workspace.write_dataset(origin, frame, CALIBRATION_SCHEMA, facts=facts)


def rating_settings(workspace: Workspace, scorers: Sequence[str]) -> dict[str, object]:
    """Settings that shape ratings by `scorers`. Raises BaseModelError for an external model."""
    from humpback_pipeline.curation import external_model_hash

    curation = workspace.recipe.curation
    settings: dict[str, object] = {
        "reasoned": curation.reasoned.model_dump(),
        # How many pairs are read at once does not shape what is read.
        "external": curation.external.model_dump(exclude={"batch_size"})
        if curation.external
        else None,
        "generation": workspace.generation_settings(),
    }
    if curation.external is not None and "external" in scorers:
        # Its name or folder can come to stand for another model.
        settings["external_model"] = external_model_hash(curation.external, workspace.cache_dir)
    return settings


def scoring_of(
    workspace: Workspace,
    iteration: int,
    *,
    ledger: Ledger,
    backward_ledger: Ledger,
    on_progress: OnProgress = ignore_progress,
) -> Scoring:
    """How iteration t rates: against M_{t-1}'s own likelihoods for the seeds, in every shard alike.

    Raises NotMaterializedError before the rater calibration is made, ReferencePairsError.
    """
    from humpback_pipeline.curation import SIGNALS, Calibration, Reference, Scoring, find_scorer

    recipe = workspace.recipe
    reference = calibration = None
    if find_scorer(recipe.curation.scorer).needs_reference:
        seeds = _reference_rows(workspace.datasets.read(calibration_name(iteration)))
        reference = Reference.of(seeds.select(SIGNALS).iter_rows(named=True))
        fitted = _fitted(workspace, iteration)
        calibration = Calibration.from_dict(fitted) if fitted else None
    return Scoring(
        prompts=workspace.prompts,
        settings=recipe.curation,
        reference=reference,
        calibration=calibration,
        ledger=ledger,
        backward_ledger=backward_ledger,
        chunk_size=recipe.generation.chunk_size,
        on_progress=on_progress,
        cache_dir=workspace.cache_dir,
    )


def reference_hash(workspace: Workspace, iteration: int) -> str:
    """Hash of what iteration t ranks by: the seeds' likelihoods under M_{t-1} and M_yx.

    Raises NotMaterializedError before the rater calibration is made.
    """
    from humpback_pipeline.curation import SIGNALS

    rows = _reference_rows(workspace.datasets.read(calibration_name(iteration)))
    return hash_text(json.dumps(sorted(rows.select(SIGNALS).rows(), key=repr)))


def scorer_inputs(workspace: Workspace, iteration: int) -> dict[str, Any]:
    """All that the recipe's scorer takes from the rater calibration, and nothing of the rest of it.

    JSON values: the hash of the reference, and the calibration, each where the scorer has one.
    """
    from humpback_pipeline.curation import find_scorer

    kind = find_scorer(workspace.recipe.curation.scorer)
    inputs: dict[str, Any] = {}
    if kind.needs_reference:
        inputs["reference"] = reference_hash(workspace, iteration)
    if kind.needs_labels:
        inputs["calibration"] = _fitted(workspace, iteration)
    return inputs


def _fitted(workspace: Workspace, iteration: int) -> dict[str, Any] | None:
    facts = workspace.datasets.manifest(calibration_name(iteration)).facts
    fitted: dict[str, Any] | None = facts["calibration"]
    return fitted


def _reference_rows(ratings: pl.DataFrame) -> pl.DataFrame:
    """The seed pairs whose likelihoods were read and are numbers, one row each."""
    from humpback_pipeline.curation import SIGNALS

    rows = ratings.filter(
        pl.col("set") == SEED, pl.all_horizontal(pl.col(*SIGNALS).is_finite().fill_null(False))
    )
    # Each scorer that reads likelihoods has written the same signals.
    return rows.unique("pair_id", keep="first", maintain_order=True)
