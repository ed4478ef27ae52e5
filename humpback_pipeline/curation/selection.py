"""Self-curation, second half: which rated pairs form the curated set (paper section 2.3).

Scoring and keeping are apart: any rule can be applied to the same ratings.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from humpback_pipeline.curation.near_duplicates import earlier_near_duplicate
from humpback_pipeline.curation.precision import TargetPrecision, find_target_precision
from humpback_pipeline.recipe_curation import SelectionRecipe
from humpback_pipeline.text.contamination import ContaminationIndex
from humpback_pipeline.text.words import WordBatch

NOT_RATED = "not_rated"
LOW_RATING = "low_rating"
BELOW_TOP_FRACTION = "below_top_fraction"
BELOW_TARGET_PRECISION = "below_target_precision"
BELOW_TOP_K = "below_top_k"
SEED_INSTRUCTION = "seed_instruction"
DUPLICATE_PAIR = "duplicate_pair"
CONTAMINATED = "contaminated"
NEAR_DUPLICATE_INSTRUCTION = "near_duplicate_instruction"
_KEPT = ""
_TEXTS_AT_ONCE = 5_000


@dataclass(frozen=True)
class Selection:
    """Which pairs are kept and why the others are not. Nothing kept is a result, not an error.

    kept: the rows selected, best first, all columns as they came. dropped: reason → count.
    dropped_rows: segment_id, rating and reason of the others, best first. cut: the lowest rating
    that the rules on ratings let through, top_k included, None where they let none. target: what a
    target precision came to, where the rule has one.
    """

    kept: pl.DataFrame
    dropped: dict[str, int]
    dropped_rows: pl.DataFrame
    cut: float | None = None
    target: TargetPrecision | None = None


def select_pairs(
    rated: pl.DataFrame | pl.LazyFrame,
    rule: SelectionRecipe,
    *,
    seeds: pl.DataFrame | None = None,
    evaluation_texts: Iterable[str] = (),
    contamination_ngram_words: int = 13,
    labelled: pl.DataFrame | None = None,
) -> Selection:
    """Select by rating, then drop what must not be trained on; each dropped row has one reason.

    rated: columns segment_id, instruction, output, rating. Equal ratings are ranked by the column
        value (the scorer's own number) where there is one, then by segment_id, so the result does
        not depend on the order of rows. Of a lazy frame, texts are read only for the pairs that
        pass the rules on ratings.
    rule: a row must pass every rule given. `min_rating` keeps ratings at or above it;
        `top_fraction` that share of all rows (rounded, at least one); `target_precision` ratings at
        or above the lowest threshold that reaches it on `labelled`, and none if none does;
        `top_k` the best so many of what is left in the end.
    seeds: columns instruction, output, split. A pair with a seed's instruction, or nearly, is
        dropped, and so is one that shares a run of words with the held-out seeds (split dev).
    evaluation_texts: prompts and reference answers, held out likewise.
    labelled: columns rating and label (1: good), rated like the pairs. Raises ValueError if the
        rule needs some and there are none.
    """
    ranked, target = _rank(rated.lazy(), rule, labelled)
    passes = ranked.with_row_index("rank").filter(pl.col("reason") == _KEPT)
    passing = (
        rated.lazy()
        # Unlike a join, a filter is applied while texts are read: memory for those that pass.
        .filter(pl.col("segment_id").is_in(passes["segment_id"].implode()))
        .collect(engine="streaming")
        .join(passes.select("rank", "segment_id"), on="segment_id")
        .sort("rank")
        .drop("rank")
    )
    reasons = _reasons_in_texts(
        passing, rule, seeds, list(evaluation_texts), contamination_ngram_words
    )
    let_through = passing["rating"]
    if rule.top_k is not None:
        within = (reasons == _KEPT).cum_sum() <= rule.top_k
        reasons = reasons.zip_with(within | (reasons != _KEPT), pl.Series([BELOW_TOP_K]))
        let_through = let_through.filter(within)
    by_text = passing.select("segment_id", "rating", reason=reasons).filter(reasons != _KEPT)
    dropped = pl.concat([by_text, ranked.filter(pl.col("reason") != _KEPT)])
    counts = dropped.group_by("reason").len().sort("reason")
    return Selection(
        kept=passing.filter(reasons == _KEPT),
        dropped=dict(counts.iter_rows()),
        dropped_rows=dropped,
        cut=let_through[-1] if len(let_through) else None,
        target=target,
    )


def _rank(
    rated: pl.LazyFrame, rule: SelectionRecipe, labelled: pl.DataFrame | None
) -> tuple[pl.DataFrame, TargetPrecision | None]:
    """Best first, with the rule on ratings that drops each, if any."""
    numbers = [name for name in ("rating", "value") if name in rated.collect_schema()]
    ratings = rated.select("segment_id", pl.col(numbers).cast(pl.Float64).fill_nan(None)).collect()
    ranked = ratings.sort(
        [*numbers, "segment_id"], descending=[*(True for _ in numbers), False], nulls_last=True
    ).with_row_index("rank")
    rating = pl.col("rating")
    rules = [(rating.is_null(), NOT_RATED)]
    if rule.min_rating is not None:
        rules.append((rating < rule.min_rating, LOW_RATING))
    if rule.top_fraction is not None:
        n_top = max(1, round(ranked.height * rule.top_fraction))
        rules.append((pl.col("rank") >= n_top, BELOW_TOP_FRACTION))
    target = None
    if rule.target_precision is not None:
        nothing = pl.DataFrame(schema={"rating": pl.Float64, "label": pl.Int64})
        target = find_target_precision(
            nothing if labelled is None else labelled, rule.target_precision
        )
        below = rating < target.found.threshold if target.found else pl.lit(value=True)
        rules.append((below, BELOW_TARGET_PRECISION))
    reasons = [pl.when(broken).then(pl.lit(reason)) for broken, reason in rules]
    reason = pl.coalesce(*reasons, pl.lit(_KEPT))
    marked = ranked.select("segment_id", "rating", reason=reason)
    return marked, target


def _reasons_in_texts(
    ranked: pl.DataFrame,
    rule: SelectionRecipe,
    seeds: pl.DataFrame | None,
    evaluation_texts: list[str],
    ngram_words: int,
) -> pl.Series:
    """Why each pair, best first, must not be in the set; "" where nothing speaks against it."""
    known, held_out = _texts_kept_out(seeds, evaluation_texts)
    instructions = ranked["instruction"]
    keys, known_keys = _text_keys(instructions), _text_keys(known)
    is_seed = keys.is_in(known_keys.implode())
    index = ContaminationIndex(held_out, ngram_words)
    contaminated = pl.Series(index.contaminated(instructions), dtype=pl.Boolean)
    contaminated |= pl.Series(index.contaminated(ranked["output"]), dtype=pl.Boolean)
    pairs = pl.DataFrame({"instruction": keys, "output": _repeated_keys(ranked, keys)})
    repeats = ~pairs.select(pl.struct("instruction", "output").is_first_distinct()).to_series()
    reasons = np.full(ranked.height, _KEPT, dtype=object)
    reasons[contaminated.to_numpy()] = CONTAMINATED
    reasons[repeats.to_numpy()] = DUPLICATE_PAIR
    reasons[is_seed.to_numpy()] = SEED_INSTRUCTION
    if rule.near_duplicate_threshold is not None:
        # Only what can be kept takes part, or a pair would go for one that goes itself.
        places = np.flatnonzero(reasons == _KEPT)
        prompts = pl.Series(evaluation_texts, dtype=pl.String)
        texts = pl.concat([known, prompts, instructions.gather(places)])
        n_protected = len(known) + len(prompts)
        near = earlier_near_duplicate(texts, rule.near_duplicate_threshold, n_protected)
        near = near[n_protected:]
        reasons[places[near >= n_protected]] = NEAR_DUPLICATE_INSTRUCTION
        reasons[places[(near >= len(known)) & (near < n_protected)]] = CONTAMINATED
        reasons[places[(near >= 0) & (near < len(known))]] = SEED_INSTRUCTION
    return pl.Series("reason", reasons.tolist(), dtype=pl.String)


def _texts_kept_out(
    seeds: pl.DataFrame | None, evaluation_texts: list[str]
) -> tuple[pl.Series, list[str]]:
    """All seeds' instructions; and the texts that no pair may share a run of words with."""
    if seeds is None:
        return pl.Series(dtype=pl.String), evaluation_texts
    dev = seeds.filter(pl.col("split") == "dev")
    held_out = [*evaluation_texts, *dev["instruction"].to_list(), *dev["output"].to_list()]
    return seeds["instruction"].cast(pl.String), held_out


def _text_keys(texts: pl.Series) -> pl.Series:
    """A digest of each text's words in order, case, punctuation and layout apart."""
    parts = [
        WordBatch(texts.slice(first, _TEXTS_AT_ONCE)).text_keys()
        for first in range(0, len(texts), _TEXTS_AT_ONCE)
    ]
    keys = np.concatenate([np.empty((0, 2), np.uint64), *parts])
    return pl.Series([row.tobytes() for row in keys], dtype=pl.Binary)


def _repeated_keys(ranked: pl.DataFrame, keys: pl.Series) -> pl.Series:
    """Digests of the outputs whose instruction occurs again; null where no pair can be equal."""
    places = keys.is_duplicated().arg_true()
    found = _text_keys(ranked["output"].gather(places))
    numbers = pl.DataFrame({"place": places, "key": found})
    everywhere = pl.DataFrame({"place": pl.int_range(ranked.height, dtype=pl.UInt32, eager=True)})
    return everywhere.join(numbers, on="place", how="left", maintain_order="left")["key"]
