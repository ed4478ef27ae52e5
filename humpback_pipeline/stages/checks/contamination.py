"""Checks of what is trained on against what is measured on."""

from __future__ import annotations

from typing import Any

from humpback_pipeline.recipe import Recipe
from humpback_pipeline.stages.checks.outcome import CheckOutcome
from humpback_pipeline.stages.held_out import evaluation_texts
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

SEEDS_APART, PROMPTS_APART = "seeds_not_in_evaluation", "evaluation_uncontaminated"
REPORT, DROP = "report", "drop"
N_SHOWN = 20
REMEDY = (
    "The models would be measured on what they were trained on. Set seed.contaminated to drop to "
    "leave such pairs out, to report to keep them and say so, or give other evaluation.prompts."
)


def check_seeds_not_in_evaluation(workspace: Workspace, manifest: Manifest) -> CheckOutcome:
    """No seed on disk shares a long run of words with an evaluation prompt or its reference.

    With seed.contaminated: report it passes all the same, and says how many do.
    """
    from humpback_pipeline.evaluation.contamination import OverlapFinder, overlap_counts

    recipe = workspace.recipe
    n_words = recipe.curation.contamination_ngram_words
    texts = evaluation_texts(recipe)
    pairs = workspace.datasets.read(manifest.name).select("pair_id", "instruction", "output")
    overlaps = OverlapFinder(texts, n_words).find(manifest.name, pairs)
    (counts,) = overlap_counts(overlaps, {manifest.name: pairs.height})
    facts: dict[str, Any] = {
        **counts,
        "prompts": len({text.prompt_id for text in texts}),
        "ngram_words": n_words,
        "contaminated": recipe.seed.contaminated,
    }
    if overlaps.is_empty():
        message = f"None of {pairs.height:,} seeds shares {n_words} words with evaluation prompts."
        return CheckOutcome(SEEDS_APART, True, message, facts)
    shown = overlaps.select("prompt_id", "part", "pair_id", "n_words", "covered", "words")
    facts["overlaps"] = shown.head(N_SHOWN).to_dicts()
    message = (
        f"{counts['contaminated_pairs']:,} of {pairs.height:,} seeds share {n_words} words in a "
        f"row with {counts['contaminated_prompts']:,} of {facts['prompts']:,} evaluation prompts "
        "or their references."
    )
    if recipe.seed.contaminated == REPORT:
        message += " They are kept, as seed.contaminated says: win rates on these are flattered."
        return CheckOutcome(SEEDS_APART, True, message, facts)
    return CheckOutcome(SEEDS_APART, False, f"{message} {REMEDY}", facts)


def check_evaluation_uncontaminated(recipe: Recipe, manifest: Manifest) -> CheckOutcome:
    """Win rates are not measured on what a model learnt, unless the recipe asks for just that.

    manifest: of the contamination table. Prompts of other files, such as safety's, are counted in
    the table and stop nothing.
    """
    counts = {row["dataset"]: row for row in manifest.facts["counts"]}
    blamed = {
        name: row["evaluation_prompts"] for name, row in counts.items() if row["evaluation_prompts"]
    }
    facts: dict[str, Any] = {
        "prompts": list(manifest.facts["prompts"]),
        "ngram_words": manifest.facts["ngram_words"],
        "sets": list(manifest.facts["counts"]),
    }
    listed = ", ".join(f"{name} {n:,}" for name, n in blamed.items())
    if not blamed:
        message = "No evaluation prompt or reference is in what the models were trained on."
        return CheckOutcome(PROMPTS_APART, True, message, facts)
    message = f"Evaluation prompts found in what the models were trained on: {listed}."
    only_seeds = set(blamed) == {"seed_pairs"}
    if only_seeds and recipe.seed.contaminated == REPORT:
        message += " They stay, as seed.contaminated: report says; read the win rates with that."
        return CheckOutcome(PROMPTS_APART, True, message, facts)
    if not only_seeds:
        message += (
            " Materialise the curated sets named here again: they are older than the prompts."
        )
    if "seed_pairs" in blamed:
        message += f" {REMEDY}"
    return CheckOutcome(PROMPTS_APART, False, message, facts)
