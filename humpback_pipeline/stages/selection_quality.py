"""Selection quality: each rater against labelled pairs (paper table 8)."""

from __future__ import annotations

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.iteration import model_name
from humpback_pipeline.stages.workspace import Workspace, file_source
from humpback_pipeline.storage import Manifest

SELECTION_QUALITY = "selection_quality"
LABELLED_RATINGS_SCHEMA = {
    "rater": pl.String,
    "pair_id": pl.String,
    "label": pl.Int64,
    "kind": pl.String,
    "rating": pl.Float64,
}


def write_selection_quality(
    workspace: Workspace, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Rate the labelled pairs with every model that rates, M_0 … M_{T-1}.

    Columns: `LABELLED_RATINGS_SCHEMA`. Precision, recall and AUC are in the facts. The threshold is
    the recipe's: its rating, or the rating that its top fraction ends at among these pairs.
    """
    from humpback_pipeline.curation import Pair, rate_pairs
    from humpback_pipeline.evaluation import precision_recall
    from humpback_pipeline.seeds import read_labelled_pairs

    recipe = workspace.recipe
    raters = [model_name(iteration) for iteration in range(recipe.curation.iterations)]
    origin = workspace.origin(
        SELECTION_QUALITY,
        inputs=[workspace.models.manifest(rater) for rater in raters],
        sources=file_source(recipe.evaluation.labelled_pairs).merged(
            [workspace.prompt_sources("rating")]
        ),
        settings={
            "scorer": recipe.curation.scorer,
            "selection": recipe.curation.selection.model_dump(),
            "generation": workspace.generation_settings(),
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    labelled = read_labelled_pairs(recipe.evaluation.labelled_pairs)
    labels = [pair.label for pair in labelled]
    frames, quality = [], []
    for rater in raters:
        with workspace.generator(workspace.models.path(rater)) as generator:
            ratings = rate_pairs(
                [Pair(pair.instruction, pair.output, pair_id=pair.pair_id) for pair in labelled],
                generator,
                scorer=recipe.curation.scorer,
                prompts=workspace.prompts,
                ledger=workspace.ledger(SELECTION_QUALITY, rater),
                chunk_size=recipe.generation.chunk_size,
                on_progress=on_progress,
            )
        values = [rating.rating for rating in ratings]
        result = precision_recall(
            values, [label == 1 for label in labels], _threshold(workspace, values)
        )
        quality.append(
            {
                "rater": rater,
                "precision": result.precision,
                "recall": result.recall,
                "auc": result.auc,
                "n_selected": result.n_selected,
                "n_positive": result.n_positive,
                "n": result.n,
                "threshold": result.threshold,
            }
        )
        frames.append(
            pl.DataFrame(
                {
                    "rater": [rater] * len(labelled),
                    "pair_id": [pair.pair_id for pair in labelled],
                    "label": labels,
                    "kind": [pair.kind for pair in labelled],
                    "rating": values,
                },
                schema=LABELLED_RATINGS_SCHEMA,
            )
        )
    return workspace.write_dataset(
        origin,
        frames,
        LABELLED_RATINGS_SCHEMA,
        facts={"quality": quality},
    )


def _threshold(workspace: Workspace, ratings: list[float]) -> float:
    selection = workspace.recipe.curation.selection
    threshold = selection.min_rating or 1.0
    if selection.top_fraction is not None:
        n_kept = max(1, round(len(ratings) * selection.top_fraction))
        threshold = max(threshold, sorted(ratings, reverse=True)[n_kept - 1])
    return threshold
