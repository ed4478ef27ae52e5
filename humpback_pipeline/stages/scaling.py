"""All ablations in one table, and how quality scales with data (paper sections 3.4 and 3.5)."""

from __future__ import annotations

from typing import Any

import polars as pl

from humpback_pipeline.recipe_ablations import check_ablations
from humpback_pipeline.stages.ablation_names import ABLATION_WIN_RATE, SCALING
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest


class NoAblationsError(LookupError):
    """No variant of the recipe has a win rate yet."""


def write_scaling(workspace: Workspace) -> Manifest:
    """Gather the win rates that are there. Columns: evaluation.ablations.ABLATIONS_SCHEMA.

    Facts: fits (`scaling_fits`), missing (variants without a win rate), short (those with fewer
    pairs than they were to have), judge. Raises NoAblationsError.
    """
    from humpback_pipeline.evaluation.ablations import (
        ABLATIONS_SCHEMA,
        ablation_table,
        scaling_fits,
    )

    variants = check_ablations(workspace.recipe)
    datasets = workspace.datasets
    made = [n for n in variants if datasets.versions(ABLATION_WIN_RATE, n).has_current()]
    missing = [name for name in variants if name not in made]
    if not made:
        raise NoAblationsError(
            f"none of the {len(variants)} ablations has a win rate yet; materialise "
            "ablation_win_rate first (`make ablations`)"
        )
    manifests = datasets.manifests(ABLATION_WIN_RATE, made)
    origin = workspace.origin(
        SCALING,
        inputs=manifests,
        settings={
            "missing": missing,
            # Rows of equal preferences can say other things of what they are.
            "facts": [dict(manifest.facts) for manifest in manifests],
            "tags": [[v.tags_in_training, v.tags_at_inference] for v in variants.values()],
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    facts = {name: manifest.facts for name, manifest in zip(made, manifests, strict=True)}
    tags = {
        name: (variants[name].tags_in_training, variants[name].tags_at_inference) for name in made
    }
    table = ablation_table(facts, tags)
    preferences = {
        name: datasets.read(ABLATION_WIN_RATE, name).select("prompt_id", "preference")
        for name in made
    }
    return workspace.write_dataset(
        origin,
        table,
        ABLATIONS_SCHEMA,
        facts={
            "fits": scaling_fits(table, preferences),
            "missing": missing,
            "short": [row for name in made for row in _short(name, facts[name])],
            "judge": sorted({str(fact["judge"]) for fact in facts.values()}),
        },
    )


def study_rows(table: pl.DataFrame, study: str) -> list[dict[str, Any]]:
    """The rows of one study, for a plot or a table of its own."""
    return table.filter(pl.col("study") == study).to_dicts()


def _short(name: str, facts: dict[str, Any]) -> list[dict[str, Any]]:
    """Where a variant has fewer pairs than it was to have: there were no more."""
    return [
        {
            "variant": name,
            "of": what,
            "wanted": facts[f"{what}_wanted"],
            "found": facts[f"n_{what}"],
        }
        for what in ("seeds", "augmented")
        if facts[f"{what}_wanted"] is not None and facts[f"n_{what}"] < facts[f"{what}_wanted"]
    ]
