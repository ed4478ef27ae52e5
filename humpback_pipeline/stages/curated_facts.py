"""What a curated set's manifest says of it: how it was cut, what was dropped, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.recipe_curation import SelectionRecipe

if TYPE_CHECKING:
    from humpback_pipeline.curation import Selection

N_DROP_SAMPLES = 3
MAX_SAMPLE_CHARS = 200
N_HISTOGRAM_BINS = 8
_HOST = r"^[a-zA-Z][a-zA-Z0-9+.-]*://(?:[^/?#@]*@)?([^/?#:]+)"
# Of the rules on ratings: no pair is to blame for these.
_BY_RATING = (
    "not_rated",
    "low_rating",
    "below_top_fraction",
    "below_target_precision",
    "below_top_k",
)


def selection_facts(
    result: Selection,
    rule: SelectionRecipe,
    ratings: pl.Series,
    kept_urls: pl.Series,
    rated_urls: pl.Series,
) -> dict[str, Any]:
    """Counts and figures of one selection; `ratings` are of all rated pairs."""
    kept = result.kept
    target = result.target
    return {
        "n_rated": ratings.len(),
        "dropped": result.dropped,
        "cut": result.cut,
        "lowest_rating_kept": kept["rating"].min() if kept.height else None,
        "target_precision": None if target is None else str(target.found or target.best),
        "target_reached": None if target is None else target.found is not None,
        "histogram": ratings_table(ratings, kept["rating"]),
        "most_pairs_host": most_frequent_host(kept_urls, rated_urls),
        "advice": selection_advice(result, rule, ratings),
    }


def drop_samples(result: Selection, pairs: pl.LazyFrame) -> list[dict[str, Any]]:
    """A few pairs of each reason that lies in their texts, best rated first.

    pairs: columns segment_id and instruction.
    """
    some = (
        result.dropped_rows.filter(~pl.col("reason").is_in(_BY_RATING))
        .group_by("reason", maintain_order=True)
        .head(N_DROP_SAMPLES)
    )
    if some.is_empty():
        return []
    texts = pairs.select("segment_id", pl.col("instruction").str.slice(0, MAX_SAMPLE_CHARS))
    return (
        texts.join(some.lazy(), on="segment_id")
        .select("reason", "rating", "instruction", "segment_id")
        .sort("reason", "rating", "segment_id", descending=[False, True, False])
        .collect()
        .to_dicts()
    )


def ratings_table(ratings: pl.Series, kept: pl.Series) -> list[dict[str, Any]]:
    """Histogram of all ratings and of those kept, in bins of half a point."""
    width = 4.0 / N_HISTOGRAM_BINS
    counts = [_binned(values, width) for values in (ratings, kept)]
    return [
        {
            "ratings": f"{1 + n * width:.1f} to {1 + (n + 1) * width:.1f}",
            "rated": counts[0][n],
            "kept": counts[1][n],
        }
        for n in range(N_HISTOGRAM_BINS)
    ]


def most_frequent_host(kept_urls: pl.Series, rated_urls: pl.Series) -> dict[str, Any] | None:
    """The host of most kept pairs: its name, and its share of them and of all rated pairs."""
    hosts = _hosts(kept_urls)
    if hosts.is_empty():
        return None
    counts = hosts.value_counts().sort(["count", hosts.name], descending=[True, False])
    host, n = counts.row(0)
    among_rated = _hosts(rated_urls)
    return {
        "host": host,
        "share": n / len(kept_urls),
        "share_of_rated": float((among_rated == host).sum()) / max(1, len(rated_urls)),
        "hosts": counts.height,
    }


def selection_advice(result: Selection, rule: SelectionRecipe, ratings: pl.Series) -> str:
    """What to do if so few pairs are too few."""
    known = ratings.fill_nan(None).drop_nulls()
    if known.is_empty():
        return "No pair was rated: look at the yield of clueweb_segments and augmented_set."
    target = result.target
    if target is not None and target.found is None:
        return (
            f"No threshold reaches precision {target.target:g} on the labelled pairs; the best is "
            f"{target.best}. Lower curation.selection.target_precision, use another scorer, or "
            "label more pairs (evaluation.labelled_pairs)."
        )
    by_rating = {r: n for r, n in result.dropped.items() if r in _BY_RATING}
    by_text = {r: n for r, n in result.dropped.items() if r not in _BY_RATING}
    if sum(by_text.values()) > result.kept.height:
        return (
            f"Of the pairs rated high enough most were dropped for their texts ({_listed(by_text)})"
            ": the backward model repeats itself or the seeds. Train it longer, raise its "
            "temperature, or raise curation.selection.near_duplicate_threshold."
        )
    lines = [f"The best of {len(known):,} ratings is {float(str(known.max())):.2f}"]
    if rule.min_rating is not None:
        lines.append(f"min_rating is {rule.min_rating:g}")
    return (
        f"{', '.join(lines)}; dropped: {_listed(by_rating) or 'none by rating'}. A small rater "
        "uses little of the scale: set curation.selection.top_fraction, lower min_rating, use a "
        "larger base model, or take more segments (corpus.sample_segments)."
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {n:,}" for reason, n in sorted(counts.items()))


def _binned(values: pl.Series, width: float) -> Sequence[int]:
    known = values.fill_nan(None).drop_nulls()
    numbers = ((known - 1.0) / width).floor().clip(0, N_HISTOGRAM_BINS - 1).cast(pl.Int64)
    counts = dict(numbers.value_counts().iter_rows())
    return [int(counts.get(n, 0)) for n in range(N_HISTOGRAM_BINS)]


def _hosts(urls: pl.Series) -> pl.Series:
    return urls.str.extract(_HOST).str.to_lowercase().drop_nulls()
