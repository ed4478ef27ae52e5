"""Pairs of answers for people to judge: which prompts, whose answer is shown first, blinded.

The paper's protocol (section 3.4): two outputs side by side, in random order, and three answers:
the first is significantly better, the second is, or there is no significant difference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from humpback_pipeline.storage import hash_text

FIRST, SECOND, NO_DIFFERENCE = "first", "second", "no_difference"
CHOICES = (FIRST, SECOND, NO_DIFFERENCE)
REFERENCE = "reference"
# What annotators get. Nothing in it depends on which model wrote what.
SHOWN = ("pair_id", "instruction", "first", "second")
PAIRS_SCHEMA = {
    "pair_id": pl.String,
    "comparison": pl.String,
    "prompt_id": pl.String,
    "instruction": pl.String,
    "first": pl.String,
    "second": pl.String,
    "first_model": pl.String,
    "second_model": pl.String,
    "model": pl.String,
    "baseline": pl.String,
}


def comparison_name(model: str, baseline: str) -> str:
    """Name of a comparison, as `m2 vs m0`."""
    return f"{model} vs {baseline}"


def human_pairs(
    responses: Mapping[str, pl.DataFrame],
    comparisons: Sequence[tuple[str, str]],
    *,
    n_pairs: int,
    seed: int = 0,
) -> pl.DataFrame:
    """Choose prompts and sides; columns `PAIRS_SCHEMA`, in the order in which they are judged.

    responses: model → columns prompt_id, instruction, output, reference. comparisons: (model,
    baseline), where a baseline or model may be `reference`. n_pairs: prompts of each comparison, at
    most all that both have.

    All is decided by hashes of the seed and the prompts' ids: the same input gives the same pairs,
    and more of them leave those there as they are. Each side is shown first equally often (give or
    take one). Comparisons take different prompts while there are enough: whoever sees one answer
    twice for one prompt can guess whose it is. A pair's id is a hash of what is shown, so that a
    judgement counts for as long as both answers stay as they were judged.

    Raises ValueError for a comparison without a common prompt.
    """
    rows = []
    for number, (model, baseline) in enumerate(comparisons):
        name = comparison_name(model, baseline)
        ours, theirs = (_answers(responses, side) for side in (model, baseline))
        common = sorted(ours.keys() & theirs.keys(), key=lambda prompt: _rank(seed, prompt))
        if not common:
            raise ValueError(
                f"human evaluation: {model} and {baseline} have no prompt in common; materialise "
                "the responses of both from the same evaluation.prompts"
            )
        for place, prompt_id in enumerate(_dealt(common, number, len(comparisons))[:n_pairs]):
            instruction, output = ours[prompt_id]
            sides = [(model, output), (baseline, theirs[prompt_id][1])]
            if place % 2:
                sides.reverse()
            (first_model, first), (second_model, second) = sides
            shown = (name, prompt_id, instruction, first, second)
            rows.append(
                {
                    "pair_id": "pair-" + hash_text("\x1f".join(shown))[:16],
                    "comparison": name,
                    "prompt_id": prompt_id,
                    "instruction": instruction,
                    "first": first,
                    "second": second,
                    "first_model": first_model,
                    "second_model": second_model,
                    "model": model,
                    "baseline": baseline,
                }
            )
    # Mixed, or people would soon know which comparison they are in.
    rows.sort(key=lambda row: _rank(seed, row["pair_id"]))
    return pl.DataFrame(rows, schema=PAIRS_SCHEMA)


def _dealt(prompts: Sequence[str], number: int, n_hands: int) -> list[str]:
    """The prompts, beginning with every `n_hands`-th from `number`: hands overlap late."""
    hands = [prompts[(number + turn) % n_hands :: n_hands] for turn in range(n_hands)]
    return [prompt for hand in hands for prompt in hand]


def _answers(responses: Mapping[str, pl.DataFrame], name: str) -> dict[str, tuple[str, str]]:
    """prompt_id → (instruction, answer) of a model, or of the references that are there."""
    if name != REFERENCE:
        frame = responses[name].select("prompt_id", "instruction", "output")
    else:
        # Every model's responses hold the references to the same prompts; a few prompts have none.
        frame = next(iter(responses.values())).select("prompt_id", "instruction", "reference")
        frame = frame.filter(pl.col("reference").str.strip_chars() != "")
    return {prompt: (instruction, answer) for prompt, instruction, answer in frame.iter_rows()}


def _rank(seed: int, name: str) -> str:
    return hash_text(f"{seed}\x1f{name}")
