"""Self-instruct from the same seeds and base, as a stage: a baseline's pairs, made once."""

from __future__ import annotations

from typing import Any

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.recipe_self_instruct import SelfInstructSettings
from humpback_pipeline.stages.ablation_names import SELF_INSTRUCT_PAIRS
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Provenance

PAIRS_SCHEMA = {"pair_id": pl.String, "instruction": pl.String, "output": pl.String}
# Where its prompts lie is no matter: their content is in the provenance.
_PLACES = {"instruction_prompt", "output_prompt"}


def self_instruct_settings(recipe: Recipe) -> SelfInstructSettings | None:
    """The recipe's, with as many pairs as its largest variant wants; None if none wants any."""
    wanted = [
        variant.n_augmented or 0
        for variant in recipe.ablations.expanded().values()
        if variant.source == "self_instruct"
    ]
    if not wanted:
        return None
    return recipe.ablations.self_instruct.model_copy(update={"n_pairs": max(wanted)})


def write_self_instruct_pairs(
    workspace: Workspace, on_progress: OnProgress = ignore_progress
) -> Manifest:
    """Let the base write pairs from the seeds' train split. Columns: pair_id, instruction, output.

    They lie in the order they were written, so that a smaller baseline is the beginning of a larger
    one. Those that share a run of words with evaluation data or held-out seeds are dropped, as of
    the augmented pairs. Raises ValueError if no variant of the recipe wants any.
    """
    from humpback_pipeline.generation.few_shot_prompts import load_plain_prompts
    from humpback_pipeline.generation.self_instruct import self_instruct

    recipe = workspace.recipe
    settings = self_instruct_settings(recipe)
    if settings is None:
        raise ValueError("no ablation has source: self_instruct, so there is nothing to write")
    prompts = load_plain_prompts(settings.output_prompt, settings.instruction_prompt)
    n_words = recipe.curation.contamination_ngram_words
    origin = workspace.origin(
        SELF_INSTRUCT_PAIRS,
        inputs=[workspace.datasets.manifest(SEED_PAIRS)],
        sources=workspace.base_model_source().merged(
            [
                Provenance(prompts=prompts.hashes()),
                file_source(recipe.evaluation.prompts, "evaluation.prompts"),
            ]
        ),
        settings={
            "self_instruct": settings.model_dump(mode="json", exclude=_PLACES),
            "generation": workspace.generation_settings(),
            "contamination_ngram_words": n_words,
        },
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    seeds = workspace.datasets.read(SEED_PAIRS)
    with workspace.generator(workspace.base_model.path) as generator:
        result = self_instruct(
            seeds.filter(pl.col("split") == "train").select(list(PAIRS_SCHEMA)),
            generator,
            settings,
            prompts=prompts,
            ledger_folder=workspace.home / "ledgers" / SELF_INSTRUCT_PAIRS,
            chunk_size=recipe.generation.chunk_size,
            on_progress=on_progress,
        )
    clean = _without_contamination(workspace, result.pairs, seeds)
    dropped = dict(result.dropped) | {"contaminated": result.pairs.height - clean.height}
    facts: dict[str, Any] = {
        "dropped": {reason: n for reason, n in dropped.items() if n},
        "wanted": settings.n_pairs,
        "rounds": result.n_rounds,
        "stop_reason": result.stop_reason,
    }
    return workspace.write_dataset(origin, clean, PAIRS_SCHEMA, facts=facts)


def _without_contamination(
    workspace: Workspace, pairs: pl.DataFrame, seeds: pl.DataFrame
) -> pl.DataFrame:
    from humpback_pipeline.curation import ContaminationIndex
    from humpback_pipeline.seeds import read_evaluation_prompts

    recipe = workspace.recipe
    prompts = read_evaluation_prompts(recipe.evaluation.prompts)
    held_out = seeds.filter(pl.col("split") == "dev")
    texts = [text for p in prompts for text in (p.instruction, p.output) if text]
    texts += [*held_out["instruction"], *held_out["output"]]
    index = ContaminationIndex(texts, recipe.curation.contamination_ngram_words)
    bad = pl.Series(index.contaminated(pairs["instruction"]), dtype=pl.Boolean)
    bad |= pl.Series(index.contaminated(pairs["output"]), dtype=pl.Boolean)
    return pairs.filter(~bad).select(list(PAIRS_SCHEMA))
