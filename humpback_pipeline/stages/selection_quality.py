"""Selection quality: every rater with every scorer on pairs whose quality is known (table 8)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.augmentation import backward_model_name
from humpback_pipeline.stages.iteration_names import calibration_name, model_name
from humpback_pipeline.stages.known_pairs import (
    HARD,
    LABELLED,
    PREFERENCE,
    PREFERRED,
    KnownPair,
    known_pairs,
    known_pairs_sources,
)
from humpback_pipeline.stages.known_ratings import (
    CALIBRATION_SCHEMA,
    compared_scorers,
    rate_known_pairs,
)
from humpback_pipeline.stages.rater_calibration import rating_settings
from humpback_pipeline.stages.seen_pairs import SEEN, measured_rows, seen_counts
from humpback_pipeline.stages.threshold_rule import ThresholdRule
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Origin

SELECTION_QUALITY = "selection_quality"
BASE_RATER = "base"
LABELLED_RATINGS_SCHEMA = {"rater": pl.String, **CALIBRATION_SCHEMA}


def write_selection_quality(
    workspace: Workspace, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Gather every rater's ratings of the known pairs, base model and M_0 … M_{T-1}.

    Columns: `LABELLED_RATINGS_SCHEMA`, one row for each rater, scorer and known pair. M_t's come
    from the iterations; the base model rates here. Facts: see `selection_facts`.
    """
    origin = _origin(workspace)
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    base, _ = rate_known_pairs(
        workspace,
        BASE_RATER,
        workspace.base_model.path,
        backward_model_name(workspace.recipe, 1),
        on_progress,
    )
    seen = [pair.pair_id for pair in known_pairs(workspace) if pair.seen]
    frames = [_of_rater(BASE_RATER, base, seen)]
    for t in range(1, workspace.recipe.curation.iterations + 1):
        rated = workspace.datasets.read(calibration_name(t))
        frames.append(_of_rater(model_name(t - 1), rated, seen))
    return workspace.write_dataset(
        origin,
        frames,
        LABELLED_RATINGS_SCHEMA,
        facts=selection_facts(workspace, pl.concat(frames)),
    )


def selection_facts(workspace: Workspace, ratings: pl.DataFrame) -> dict[str, Any]:
    """What the ratings say of raters and scorers.

    ratings: `LABELLED_RATINGS_SCHEMA`. scorer: the one that curation uses; threshold_rule: in
    words. quality: its rows of `compare_selection` on the labelled pairs, one a rater. comparison:
    the rows of all scorers by table: labelled, by_flaw, hard, hard_by_flaw, preferences. Nothing
    is fitted on the hard pairs: each threshold is the one found on the labelled pairs. Pairs that
    models were trained on are left out if enough others are left; seen: see `seen_counts`.
    """
    from humpback_pipeline.evaluation.preference_agreement import preference_agreement
    from humpback_pipeline.evaluation.rater_comparison import (
        compare_by_flaw,
        compare_selection,
        thresholds_of,
    )

    curation = workspace.recipe.curation
    rule = ThresholdRule(
        **curation.selection.model_dump(
            include={"min_rating", "top_fraction", "top_k", "target_precision"}
        )
    )
    labelled, hard, preferences = (
        measured_rows(ratings.filter(pl.col("set") == name))
        for name in (LABELLED, HARD, PREFERENCE)
    )
    rows = compare_selection(labelled, rule.threshold)
    thresholds = thresholds_of(rows)
    return {
        "scorer": curation.scorer,
        "threshold_rule": rule.describe(),
        SEEN: seen_counts(ratings),
        "quality": [row for row in rows if row["scorer"] == curation.scorer],
        # Nested, so that a reader of rows about one rater finds the recipe's scorer alone.
        "comparison": {
            "labelled": rows,
            "by_flaw": compare_by_flaw(labelled, thresholds),
            "hard": compare_selection(hard, rule.threshold, thresholds),
            "hard_by_flaw": compare_by_flaw(hard, thresholds),
            "preferences": preference_agreement(_with_lengths(preferences, known_pairs(workspace))),
        },
    }


def selection_plot(ratings: pl.DataFrame, facts: Mapping[str, Any], known_set: str) -> bytes:
    """PNG of precision against recall on one labelled set (`labelled` or `hard`).

    ratings: `LABELLED_RATINGS_SCHEMA`; facts: those of `selection_facts`.
    """
    from humpback_pipeline.evaluation.rater_comparison import thresholds_of
    from humpback_pipeline.evaluation.selection_plots import precision_recall_panels

    raters: dict[str, dict[str, tuple[list[float], list[int]]]] = {}
    rated = measured_rows(ratings.filter(pl.col("set") == known_set))
    for (rater, scorer), group in rated.group_by(["rater", "scorer"], maintain_order=True):
        curve = group["rating"].to_list(), group["label"].to_list()
        raters.setdefault(str(rater), {})[str(scorer)] = curve
    thresholds = thresholds_of(facts["comparison"][known_set])
    return precision_recall_panels(raters, thresholds, emphasised=facts["scorer"])


def misjudged_pairs(
    workspace: Workspace, ratings: pl.DataFrame, rater: str
) -> dict[str, pl.DataFrame]:
    """The pairs that the recipe's scorer is most wrong about, worst first.

    Keys: `bad_rated_high`, `good_rated_low`; columns rating, set, kind, instruction, output.
    """
    texts = _texts(known_pairs(workspace))
    rated = (
        ratings.filter(
            pl.col("rater") == rater,
            pl.col("scorer") == workspace.recipe.curation.scorer,
            pl.col("set").is_in([LABELLED, HARD]),
        )
        .join(texts, on="pair_id")
        .select("label", "rating", "set", "kind", "instruction", "output")
    )
    bad, good = (rated.filter(pl.col("label") == label).drop("label") for label in (0, 1))
    return {
        "bad_rated_high": bad.sort("rating", descending=True, maintain_order=True),
        "good_rated_low": good.sort("rating", maintain_order=True),
    }


def _origin(workspace: Workspace) -> Origin:
    recipe, datasets = workspace.recipe, workspace.datasets
    calibrations = [calibration_name(t) for t in range(1, recipe.curation.iterations + 1)]
    return workspace.origin(
        SELECTION_QUALITY,
        inputs=[
            *(datasets.manifest(name) for name in calibrations),
            workspace.models.manifest(backward_model_name(recipe, 1)),
        ],
        sources=known_pairs_sources(workspace).merged(
            [
                workspace.base_model_source(),
                workspace.prompt_sources("tags", "backward", "rating"),
            ]
        ),
        settings={
            "scorers": compared_scorers(workspace),
            "scorer": recipe.curation.scorer,
            "selection": recipe.curation.selection.model_dump(),
            "rating": rating_settings(workspace, compared_scorers(workspace)),
            "max_reference_pairs": recipe.curation.max_reference_pairs,
            "max_preferences": recipe.evaluation.max_preferences,
        },
    )


def _of_rater(rater: str, ratings: pl.DataFrame, seen: Sequence[str]) -> pl.DataFrame:
    # Of all raters by the seeds of now, or they would not be compared on the same pairs.
    is_seen = pl.col("pair_id").is_in(list(seen))
    named = ratings.with_columns(rater=pl.lit(rater), seen=is_seen)
    return named.select(pl.col(c).cast(dtype) for c, dtype in LABELLED_RATINGS_SCHEMA.items())


def _texts(pairs: Sequence[KnownPair]) -> pl.DataFrame:
    return pl.DataFrame(
        [(pair.pair_id, pair.instruction, pair.output) for pair in pairs],
        schema={"pair_id": pl.String, "instruction": pl.String, "output": pl.String},
        orient="row",
    )


def _with_lengths(ratings: pl.DataFrame, pairs: Sequence[KnownPair]) -> pl.DataFrame:
    """Ratings of preferences as `preference_agreement` takes them."""
    lengths = _texts(pairs).select("pair_id", output_chars=pl.col("output").str.len_chars())
    return ratings.join(lengths, on="pair_id", maintain_order="left").select(
        "rater",
        "scorer",
        "rating",
        "output_chars",
        preferred=pl.col("kind") == PREFERRED,
        prompt_id=pl.col("pair_id").str.replace(r"/[12]$", ""),
    )
