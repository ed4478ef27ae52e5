"""Checks of a curated set: enough pairs to learn from, and not all of one kind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl

from humpback_pipeline.recipe_operations import ChecksRecipe
from humpback_pipeline.stages.checks.outcome import CheckOutcome

USABLE, VARIED = "curated_set_usable", "curated_set_varied"
N_FIRST_WORDS = 3
# Below this many pairs nothing can be said of how they are distributed.
MIN_TO_TELL = 10
# Of all instructions alike, this many are no accident: the backward model writes one thing only.
MIN_COLLAPSED = 20
# Between the lowest and the highest tenth of output lengths, relative to their median.
MIN_LENGTH_SPREAD = 0.1


def check_curated_set_usable(
    kept: pl.DataFrame, ratings: pl.Series, facts: Mapping[str, Any], bounds: ChecksRecipe
) -> CheckOutcome:
    """There are pairs enough to move a model, and they were selected rather than drawn.

    kept: the rows on disk. ratings: of all rated pairs. facts: the manifest's (`histogram`,
    `advice`). A set of fewer than `min_curated_pairs` pairs is repeated from step to step until the
    model knows it by heart; a choice among equal ratings goes by segment_id, which is none; where
    every instruction begins with the same words the backward model has collapsed.
    """
    n_rated, known = ratings.len(), ratings.fill_nan(None).drop_nulls()
    beginnings = _most_frequent(_beginnings(kept))
    measured = {
        "pairs": kept.height,
        "rated": n_rated,
        "min_curated_pairs": bounds.min_curated_pairs,
        "histogram": facts["histogram"],
    }
    problem = ""
    if kept.is_empty():
        problem = "No pair was kept."
    elif kept.height < bounds.min_curated_pairs:
        problem = (
            f"Only {kept.height:,} of {n_rated:,} pairs were kept, fewer than "
            f"checks.min_curated_pairs ({bounds.min_curated_pairs:,})."
        )
    if problem:
        message = f"{problem} {facts['advice']}"
        return CheckOutcome(USABLE, False, message, {**measured, "advice": facts["advice"]})
    advice = ""
    if known.len() >= MIN_TO_TELL and known.n_unique() == 1 and kept.height < n_rated:
        problem = f"All {known.len():,} ratings are {known[0]:.2f}: {kept.height:,} were drawn."
        advice = (
            "The rater tells no pair from another. Use another scorer (curation.scorer), a larger "
            "base model, or train M_0 on more seeds."
        )
    elif kept.height >= MIN_COLLAPSED and beginnings and beginnings[1] == kept.height:
        problem = f"All {kept.height:,} instructions begin {beginnings[0]!r}."
        advice = (
            "The backward model has collapsed. Train it on more or other seeds, with fewer steps "
            "or a lower training.learning_rate_start, or raise augmentation.sampling.temperature."
        )
    if problem:
        return CheckOutcome(USABLE, False, f"{problem} {advice}", {**measured, "advice": advice})
    message = f"{kept.height:,} of {n_rated:,} rated pairs kept."
    return CheckOutcome(USABLE, True, message, measured)


def check_curated_set_varied(
    kept: pl.DataFrame, facts: Mapping[str, Any], bounds: ChecksRecipe
) -> CheckOutcome:
    """No one host, beginning, rating or length makes up most of the set; this only warns.

    A crawl of one site, or a rater that gives its best pairs a full 5, can be what one wants.
    """
    n = kept.height
    if n < MIN_TO_TELL:
        message = f"Only {n} pairs: too few to tell."
        return CheckOutcome(VARIED, True, message, {"pairs": n})
    most = bounds.max_alike_fraction
    host, beginning = facts["most_pairs_host"], _most_frequent(_beginnings(kept))
    lengths = kept["output"].str.len_chars()
    low, middle, high = (float(str(lengths.quantile(share))) for share in (0.1, 0.5, 0.9))
    spread = (high - low) / max(1.0, middle)
    measured: dict[str, Any] = {"pairs": n, "bound": most, "output_length_spread": spread}
    problems = []
    if host is not None:
        measured |= {"most_pairs_host": host["host"], "host_share": host["share"]}
        measured |= {"host_share_of_rated": host["share_of_rated"], "hosts": host["hosts"]}
        if host["share"] > most:
            problems.append(
                f"{host['share']:.0%} are from {host['host']}, as are "
                f"{host['share_of_rated']:.0%} of all rated pairs: crawl more hosts, or cap what "
                "one may give (corpus)"
            )
    if beginning is not None:
        measured |= {"beginning": beginning[0], "beginning_share": beginning[1] / n}
        if beginning[1] / n > most:
            problems.append(
                f"{beginning[1] / n:.0%} of the instructions begin {beginning[0]!r}: raise "
                "augmentation.sampling.temperature or vary the seeds"
            )
    if kept["rating"].n_unique() == 1:
        problems.append(
            f"all ratings are {kept['rating'][0]:.2f}: the best cannot be told from the good"
        )
    if spread < MIN_LENGTH_SPREAD:
        problems.append(
            f"80 % of the outputs have {low:,.0f} to {high:,.0f} characters: look at "
            "corpus.min_chars and corpus.max_chars, and whether the rater goes by length"
        )
    if problems:
        return CheckOutcome(VARIED, False, f"Of {n:,} pairs {'; '.join(problems)}.", measured)
    message = f"{n:,} pairs: no host, beginning, rating or length makes up more than {most:.0%}."
    return CheckOutcome(VARIED, True, message, measured)


def _beginnings(kept: pl.DataFrame) -> pl.Series:
    words = kept["instruction"].str.to_lowercase().str.extract_all(r"\w+")
    return words.list.head(N_FIRST_WORDS).list.join(" ")


def _most_frequent(values: pl.Series) -> tuple[str, int] | None:
    """The value that occurs most, and how often."""
    if values.is_empty():
        return None
    counts = values.rename("value").value_counts()
    value, count = counts.sort("count", "value", descending=[True, False]).row(0)
    return str(value), int(count)
