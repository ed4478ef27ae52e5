"""Prompts that the seed model loses and the final model wins, by category."""

from __future__ import annotations

from typing import Any

import polars as pl

from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.responses import WIN_RATES
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

IMPROVEMENT = "improvement_over_seed"
IMPROVEMENT_SCHEMA = {
    "prompt_id": pl.String,
    "category": pl.String,
    "category_by": pl.String,
    "prompt_set": pl.String,
    "preference_before": pl.Float64,
    "preference_after": pl.Float64,
    "change": pl.String,
}
BY_FILE, BY_WORDS = "file", "words"


def write_improvement(workspace: Workspace) -> Manifest:
    """Compare the final model's verdicts with those of M_0, prompt by prompt.

    Columns: `IMPROVEMENT_SCHEMA`. A prompt's category is its field `category` in the prompt file,
    else told by its words (`evaluation.categories`). Facts: before, after (models), by_category,
    by_prompt_set (tables: `improvement_rows`; the latter empty where all prompts are of one set),
    sign_test_p, categories_by (how many were told how), undecided (what to say of a judge that
    prefers nothing, else None), plot (PNG as a data URI).
    """
    from humpback_pipeline.evaluation import png_data_uri
    from humpback_pipeline.evaluation.improvement import (
        changes_of,
        improvement_plot,
        improvement_rows,
        sign_test_p,
        undecided_note,
    )

    evaluation = workspace.recipe.evaluation
    before, after = model_name(0), model_name(workspace.recipe.curation.iterations)
    origin = workspace.origin(
        IMPROVEMENT,
        inputs=[workspace.datasets.manifest(WIN_RATES)],
        sources=file_source(evaluation.prompts, "evaluation.prompts"),
        settings={"before": before, "after": after},
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    changes = changes_of(workspace.datasets.read(WIN_RATES), before, after)
    table = changes.join(prompt_categories(workspace), on="prompt_id", maintain_order="left")
    table = table.select(list(IMPROVEMENT_SCHEMA))
    by_category = improvement_rows(table, "category")
    by_set = improvement_rows(table, "prompt_set") if table["prompt_set"].n_unique() > 1 else []
    everything = by_category[-1]
    return workspace.write_dataset(
        origin,
        table,
        IMPROVEMENT_SCHEMA,
        facts={
            "before": before,
            "after": after,
            "n_judged": table.height,
            "by_category": by_category,
            "by_prompt_set": by_set,
            "sign_test_p": sign_test_p(
                everything["turned_into_win"], everything["turned_into_loss"]
            ),
            "categories_by": _counts(table),
            "undecided": undecided_note(
                [*table["preference_before"].to_list(), *table["preference_after"].to_list()]
            ),
            "plot": png_data_uri(
                improvement_plot(by_category, f"{after} beside {before}, against the references")
            ),
        },
    )


def prompt_categories(workspace: Workspace) -> pl.DataFrame:
    """Columns prompt_id, category, category_by (`file` or `words`), prompt_set, of all prompts."""
    from humpback_pipeline.evaluation.categories import category_of
    from humpback_pipeline.seeds import read_evaluation_prompts

    prompts = read_evaluation_prompts(workspace.recipe.evaluation.prompts)
    return pl.DataFrame(
        [
            (
                prompt.prompt_id,
                _tidy(prompt.category) or category_of(prompt.instruction),
                BY_FILE if _tidy(prompt.category) else BY_WORDS,
                prompt.dataset,
            )
            for prompt in prompts
        ],
        schema=["prompt_id", "category", "category_by", "prompt_set"],
        orient="row",
    )


def _tidy(category: str) -> str:
    """`Information seeking` and `information_seeking` are one category."""
    return "_".join(category.lower().replace("-", " ").split())


def _counts(table: pl.DataFrame) -> dict[str, Any]:
    return {by: table.filter(pl.col("category_by") == by).height for by in (BY_FILE, BY_WORDS)}
