"""What the pages of an ablation's variants show."""

from typing import Any

import dagster as dg
import polars as pl

from humpback_pipeline.assets.metadata import counts_table, sample_table
from humpback_pipeline.evaluation.ablations import STUDY_TITLES
from humpback_pipeline.evaluation.tables import render_markdown_table
from humpback_pipeline.evaluation.win_rates import small_sample_note
from humpback_pipeline.recipe_ablations import AblationVariant
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.ablation_names import ABLATION_RESPONSES
from humpback_pipeline.storage import Manifest

_RATES = ("rate", "standard_error", "low", "high", "n_wins", "n_losses", "n_draws", "n")


def data_metadata(
    workspace: Workspace, manifest: Manifest, variant: AblationVariant
) -> dict[str, Any]:
    """What a variant is trained on."""
    facts = manifest.facts
    pairs = workspace.datasets.scan(manifest.name, manifest.partition)
    first = pairs.filter(pl.col("origin") == "web").head(3).collect()
    if first.is_empty():
        first = pairs.head(3).collect()
    metadata = {
        "study": STUDY_TITLES[variant.study],
        "series": variant.series,
        "seeds": facts["n_seeds"],
        "augmented_pairs": facts["n_augmented"],
        "pairs_dropped": counts_table(facts["dropped"]),
        "pairs": sample_table(first, ["origin", "rating", "instruction", "output"]),
    }
    if facts["mean_rating"] is not None:
        metadata["mean_rating"] = round(facts["mean_rating"], 3)
    return metadata


def win_rate_metadata(workspace: Workspace, manifest: Manifest) -> dict[str, Any]:
    """A variant's win rate, and how the final model does on the same prompts."""
    facts = manifest.facts
    answers = workspace.datasets.read(ABLATION_RESPONSES, str(manifest.partition))
    judged = workspace.datasets.read(manifest.name, manifest.partition)
    best = judged.join(answers, on="prompt_id").sort("preference", descending=True, nulls_last=True)
    rates = pl.DataFrame([{name: facts[name] for name in _RATES}])
    metadata = {
        "win_rate_percent": round(facts["rate"], 2),
        "win_rate": dg.MetadataValue.md(render_markdown_table(rates, decimals=2)),
        "versus_final": versus_final(facts["versus_final"]),
        "judge": facts["judge"],
        "position_bias": facts["position_bias"],
        "judge_costs": dg.MetadataValue.md(render_markdown_table(pl.DataFrame(facts["costs"]))),
        "best": sample_table(best, ["preference", "instruction", "output", "reference"]),
    }
    widest = max(facts["rate"] - facts["low"], facts["high"] - facts["rate"])
    if note := small_sample_note(facts["n"], widest):
        metadata["note"] = note
    return metadata


def versus_final(compared: dict[str, Any] | None) -> str:
    """One sentence on a variant against the final model."""
    if compared is None:
        return "The final model has no win rate by this judge yet: materialise win_rates."
    return (
        f"{compared['versus_final']:+.2f} points from the final model's win rate on the same "
        f"{compared['n']} prompts (95 % {compared['versus_final_low']:+.2f} to "
        f"{compared['versus_final_high']:+.2f}, p = {compared['p_value']:.3g})"
    )
