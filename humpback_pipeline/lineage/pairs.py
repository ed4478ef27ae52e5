"""One pair through every step and version: where it is, what dropped it, who learned from it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.catalogue import Catalogue
from humpback_pipeline.lineage.roles import ROLE_ORDER, role_of
from humpback_pipeline.lineage.rows import available_columns, find_rows, has_rows

WEB_PREFIX = "web-"
HELD_OUT_SPLIT = "dev"
MAX_ROWS_PER_SCAN = 1_000
SHOWN_COLUMNS = (
    "instruction",
    "output",
    "rating",
    "split",
    "kept",
    "shard",
    "reason",
    "duplicate_of",
    "url",
    "header",
    "document_id",
    "warc_file",
    "record_offset",
    "source",
    "label",
)


@dataclass(frozen=True)
class Hop:
    """One version of a dataset, and what it says of the rows asked for.

    n_rows 0: they could have been in it but are not; `note` says why as far as is known.
    """

    artefact: Artefact
    n_rows: int
    row: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class ModelUse:
    """A model's version, the training sets that held the rows, and how many of them.

    how: `trained`, or `held out` where the rows only measured the loss.
    """

    model: Artefact
    through: tuple[Artefact, ...]
    n_rows: int
    how: str = "trained"


def trace_pair(catalogue: Catalogue, pair_id: str) -> tuple[tuple[Hop, ...], tuple[ModelUse, ...]]:
    """Every hop of a pair or segment through all versions, oldest first, and its models."""
    segment_id = pair_id.removeprefix(WEB_PREFIX)
    rows = _rows_by_content(catalogue, pair_id, segment_id)
    hops = []
    for artefact in catalogue.everything():
        found = rows.get((artefact.key, artefact.content_hash))
        if found:
            hops.append(Hop(artefact, len(found), found[0], _mark_of(found[0])))
        elif note := _why_not(artefact, rows):
            hops.append(Hop(artefact, 0, {}, note))
    hops.sort(key=lambda hop: (ROLE_ORDER.index(role_of(hop.artefact)), hop.artefact.version))
    return tuple(hops), models_of(catalogue, [hop for hop in hops if hop.n_rows])


def models_of(catalogue: Catalogue, hops: list[Hop]) -> tuple[ModelUse, ...]:
    """Models trained directly from the datasets of `hops`, oldest first."""
    uses: dict[tuple[str, str, str], list[Hop]] = defaultdict(list)
    models: dict[tuple[str, str], Artefact] = {}
    for hop in hops:
        held_out = hop.row.get("split") == HELD_OUT_SPLIT
        # A model that wrote or rated the rows is no user of them; only training reads a pair.
        for user in catalogue.users(hop.artefact.key, hop.artefact.content_hash):
            if user.kind == "model":
                models[user.key, user.version] = user
                how = "held out" if held_out else "trained"
                uses[user.key, user.version, how].append(hop)
    found = []
    for (key, version, how), through in uses.items():
        by_content = {(hop.artefact.key, hop.artefact.content_hash): hop for hop in through}
        model = models[key, version]
        n_rows = sum(hop.n_rows for hop in by_content.values())
        # Of versions with the same content, the one that was there when the model was trained.
        sources = [
            catalogue.find(*place, model.created) or hop.artefact
            for place, hop in by_content.items()
        ]
        found.append(ModelUse(model, tuple(sources), n_rows, how))
    return tuple(sorted(found, key=lambda use: (use.model.created, use.model.key)))


def _rows_by_content(
    catalogue: Catalogue, pair_id: str, segment_id: str
) -> dict[tuple[str, str], list[dict[str, Any]]]:
    by_content: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    datasets = [a for a in catalogue.everything() if has_rows(a)]
    by_segment = [a for a in datasets if "segment_id" in available_columns(a)]
    others = [a for a in datasets if "segment_id" not in available_columns(a)]
    for artefacts, condition in (
        (by_segment, pl.col("segment_id") == segment_id),
        (others, pl.col("pair_id") == pair_id),
    ):
        for place, row in find_rows(artefacts, condition, SHOWN_COLUMNS, MAX_ROWS_PER_SCAN):
            by_content[place].append(row)
    return by_content


def _mark_of(row: Mapping[str, Any]) -> str:
    if row.get("split") == HELD_OUT_SPLIT:
        return "held out to measure the loss; not trained on"
    if row.get("kept"):
        return "selected"
    if row.get("kept") is False:
        of = f" of {row['duplicate_of']}" if row.get("duplicate_of") else ""
        return f"not selected: {row.get('reason') or 'no reason was noted'}{of}"
    return ""


def _why_not(artefact: Artefact, rows: Mapping[tuple[str, str], list[dict[str, Any]]]) -> str:
    """Why a pair that went into the making of a version is not in it; empty if it did not."""
    role = role_of(artefact)
    if role not in ("augmented", "curated") or not has_rows(artefact):
        return ""
    before = [row for place in artefact.inputs.items() for row in rows.get(place, ())]
    if role == "curated":
        rated = [row for row in before if "kept" not in row]
        return _why_not_curated(artefact, rated) if rated else ""
    selected = [row for row in before if row.get("kept") and row["shard"] == artefact.partition]
    if not selected:
        return ""
    return f"selected, but no usable instruction: {_counts(artefact.manifest().facts['dropped'])}"


def _why_not_curated(curated: Artefact, rated: list[dict[str, Any]]) -> str:
    ratings = [row["rating"] for row in rated if row.get("rating") is not None]
    facts = curated.manifest().facts
    dropped = facts.get("dropped", {})
    lowest = facts.get("lowest_rating_kept")
    if not ratings:
        return f"rated, but not kept; all that were dropped: {_counts(dropped)}"
    if lowest is None or ratings[0] < lowest:
        bound = f"below the lowest kept, {lowest:.2f}" if lowest is not None else "nothing was kept"
        return f"rated {ratings[0]:.2f}, {bound}"
    other = {name: n for name, n in dropped.items() if name in _RULES_BESIDE_RATING}
    return f"rated {ratings[0]:.2f}, high enough, but dropped as one of: {_counts(other)}"


# Reasons of the selection that a high rating does not outweigh; `below_top_fraction` can hit a
# rating equal to the lowest that was kept.
_RULES_BESIDE_RATING = (
    "seed_instruction",
    "duplicate_pair",
    "contaminated",
    "below_top_fraction",
)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items())) or "none noted"
