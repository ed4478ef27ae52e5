"""What is measured on known pairs is measured on those that no model was trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from humpback_pipeline.stages.known_pairs import HARD, LABELLED, PREFERENCE

# With fewer left, figures of pairs that were trained on say more, and that they flatter is said.
MIN_MEASURED = 20
# In the facts of ratings of known pairs: set → counts, see `seen_counts`.
SEEN = "seen"
_SETTINGS = {
    LABELLED: "evaluation.labelled_pairs",
    HARD: "evaluation.hard_pairs",
    PREFERENCE: "evaluation.preferences",
}
_SEEN = pl.col("seen").fill_null(value=False)
# A pair, or the prompt of two outputs, which are compared with each other.
_UNIT = pl.col("pair_id").str.replace(rf"^({PREFERENCE}/.*)/[12]$", "$1")
_NAMES = {LABELLED: "labelled pairs", HARD: "hard pairs", PREFERENCE: "preferences"}


def is_enough(
    labels: Sequence[int | None], least: int = MIN_MEASURED, least_of_either: int = 1
) -> bool:
    """Whether pairs with these labels can be measured on; None: preferences, without any."""
    known = [label for label in labels if label is not None]
    fewest = min(known.count(0), known.count(1)) if known else least_of_either
    return len(labels) >= least and fewest >= least_of_either


def measured_rows(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows of pairs that were not trained on, or all if too few are left.

    rows: of one set, columns pair_id, label and `seen`, by any number of raters and scorers, for
    all of which the same pairs stay.
    """
    if "seen" not in rows.columns:  # by an earlier release
        return rows
    unseen = rows.filter(~_SEEN.any().over(_UNIT))
    return unseen if is_enough(_units(unseen)["label"].to_list()) else rows


def seen_counts(ratings: pl.DataFrame) -> dict[str, dict[str, Any]]:
    """For each set: n pairs (of preferences: prompts), n_in_seeds of them, n_measured, flattered.

    flattered: figures are of pairs that were trained on as well. ratings: columns set, pair_id,
    label and seen.
    """
    counts: dict[str, dict[str, Any]] = {}
    for name in _NAMES:
        rows = ratings.filter(pl.col("set") == name)
        if not rows.height:
            continue
        pairs, measured = _units(rows), _units(measured_rows(rows))
        counts[name] = {
            "n": pairs.height,
            "n_in_seeds": int(pairs["seen"].sum()),
            "n_measured": measured.height,
            "flattered": bool(measured["seen"].any()),
        }
    return counts


def seen_sentences(counts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """What to know of the figures, one sentence or two a set, flattered ones first."""
    ordered = sorted(counts.items(), key=lambda item: not item[1]["flattered"])
    return [_sentence(name, count) for name, count in ordered]


def _sentence(name: str, count: Mapping[str, Any]) -> str:
    n, n_seen, what = count["n"], count["n_in_seeds"], _NAMES[name]
    if count["flattered"]:
        return (
            f"FLATTERED: {n_seen:,} of {n:,} {what} have the instruction or the output of a seed "
            "that the models were trained on, and too few others are left to measure on, so all "
            f"are in the figures, which look better than they are. Give {_SETTINGS[name]} that "
            "share no text with the seeds."
        )
    if n_seen:
        return (
            f"{n_seen:,} of {n:,} {what} have the instruction or the output of a seed that the "
            f"models were trained on; they are left out, {count['n_measured']:,} are measured."
        )
    return f"None of {n:,} {what} is in the seeds that the models were trained on."


def _units(rows: pl.DataFrame) -> pl.DataFrame:
    """One row a pair or prompt: its label, and whether any of it was seen."""
    return rows.group_by(_UNIT, maintain_order=True).agg(
        pl.col("label").first(), _SEEN.any().alias("seen")
    )
