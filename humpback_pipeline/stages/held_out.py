"""The texts that models are measured on, which no training pair may share a run of words with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from humpback_pipeline.evaluation.contamination import EVALUATION, HeldOutText
from humpback_pipeline.stages.file_sources import file_source
from humpback_pipeline.storage import Provenance
from humpback_pipeline.text.contamination import MIN_WHOLE_WORDS

if TYPE_CHECKING:
    from humpback_pipeline.recipe import Recipe

SAFETY = "safety"


def evaluation_texts(recipe: Recipe) -> list[HeldOutText]:
    """The evaluation prompts and their references, which win rates are measured on.

    Without references of fewer than MIN_WHOLE_WORDS words: another pair's output is `Yes.` or
    `Paris` by chance, and whoever learnt the prompt itself is found by its instruction.
    """
    from humpback_pipeline.seeds import read_evaluation_prompts
    from humpback_pipeline.text.words import WordBatch

    prompts = read_evaluation_prompts(recipe.evaluation.prompts)
    n_words = WordBatch(prompt.output for prompt in prompts).n_words.tolist()
    texts = []
    for prompt, n in zip(prompts, n_words, strict=True):
        if prompt.instruction:
            texts.append(
                HeldOutText(EVALUATION, prompt.prompt_id, "instruction", prompt.instruction)
            )
        if n >= MIN_WHOLE_WORDS:
            texts.append(HeldOutText(EVALUATION, prompt.prompt_id, "reference", prompt.output))
    return texts


def held_out_texts(recipe: Recipe) -> list[HeldOutText]:
    """Those, and the safety prompts where the recipe names some."""
    from humpback_pipeline.seeds.safety_prompts import read_safety_prompts

    texts = evaluation_texts(recipe)
    if recipe.evaluation.safety is not None:
        texts += [
            HeldOutText(SAFETY, prompt.prompt_id, "instruction", prompt.instruction)
            for prompt in read_safety_prompts(recipe.evaluation.safety.prompts)
        ]
    return texts


def held_out_sources(recipe: Recipe) -> Provenance:
    """Provenance of what `held_out_texts` reads."""
    found = [file_source(recipe.evaluation.prompts, "evaluation.prompts")]
    if recipe.evaluation.safety is not None:
        found.append(file_source(recipe.evaluation.safety.prompts, "evaluation.safety.prompts"))
    return Provenance().merged(found)
