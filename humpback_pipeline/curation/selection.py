"""Self-curation, second half: which rated pairs form the curated set (paper section 2.3).

Scoring and keeping are apart: any rule can be applied to the same ratings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import polars as pl

from humpback_pipeline.curation.decontamination import ContaminationIndex, words_of
from humpback_pipeline.recipe import SelectionRecipe

LOW_RATING = "low_rating"
BELOW_TOP_FRACTION = "below_top_fraction"
SEED_INSTRUCTION = "seed_instruction"
DUPLICATE_PAIR = "duplicate_pair"
CONTAMINATED = "contaminated"


@dataclass(frozen=True)
class Selection:
    """kept: the rows selected, best first, all columns as they came. dropped: reason → count.

    dropped_rows: the others with a column `reason`. Nothing kept is a result, not an error.
    """

    kept: pl.DataFrame
    dropped: dict[str, int]
    dropped_rows: pl.DataFrame


def select_pairs(
    rated: pl.DataFrame,
    rule: SelectionRecipe,
    *,
    seeds: pl.DataFrame | None = None,
    evaluation_texts: Iterable[str] = (),
    contamination_ngram_words: int = 13,
) -> Selection:
    """Select by rating, then drop what must not be trained on; each dropped row has one reason.

    rated: columns segment_id, instruction, output, rating. Equal ratings are ranked by segment_id,
        so the result does not depend on the order of rows.
    rule: `min_rating` keeps ratings at or above it; `top_fraction` keeps that share of all rows
        (rounded, at least one); both: a row must pass both.
    seeds: columns instruction, output, split. A pair with a seed's instruction is dropped, and so
        is one that shares a run of words with the held-out seeds (split dev).
    evaluation_texts: prompts and reference answers, held out likewise.
    """
    ranked = rated.sort(["rating", "segment_id"], descending=[True, False])
    n_top = ranked.height
    if rule.top_fraction is not None and ranked.height:
        n_top = max(1, round(ranked.height * rule.top_fraction))
    seed_instructions, held_out = _held_out(seeds, evaluation_texts)
    index = ContaminationIndex(held_out, contamination_ngram_words)
    seen: set[tuple[str, str]] = set()
    reasons: list[str] = []
    for rank, row in enumerate(ranked.iter_rows(named=True)):
        instruction = _normal(row["instruction"])
        pair = (instruction, _normal(row["output"]))
        if rule.min_rating is not None and not row["rating"] >= rule.min_rating:
            reason = LOW_RATING
        elif rank >= n_top:
            reason = BELOW_TOP_FRACTION
        elif instruction in seed_instructions:
            reason = SEED_INSTRUCTION
        elif pair in seen:
            reason = DUPLICATE_PAIR
        elif index.matches(row["instruction"]) or index.matches(row["output"]):
            reason = CONTAMINATED
        else:
            reason = ""
            seen.add(pair)
        reasons.append(reason)
    marked = ranked.with_columns(pl.Series("reason", reasons, dtype=pl.String))
    dropped = marked.filter(pl.col("reason") != "")
    counts = dropped.group_by("reason").len().sort("reason")
    return Selection(
        kept=marked.filter(pl.col("reason") == "").drop("reason"),
        dropped=dict(counts.iter_rows()),
        dropped_rows=dropped,
    )


def _held_out(
    seeds: pl.DataFrame | None, evaluation_texts: Iterable[str]
) -> tuple[set[str], list[str]]:
    texts = list(evaluation_texts)
    if seeds is None:
        return set(), texts
    dev = seeds.filter(pl.col("split") == "dev")
    instructions = {_normal(text) for text in seeds["instruction"].to_list()}
    return instructions, [*texts, *dev["instruction"].to_list(), *dev["output"].to_list()]


def _normal(text: str) -> str:
    return " ".join(words_of(text))
