"""Two versions of a dataset or model side by side: rows, recipe, figures, what they came from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.catalogue import Catalogue
from humpback_pipeline.lineage.measures import figures_of
from humpback_pipeline.lineage.rows import available_columns, has_rows, scan
from humpback_pipeline.storage.manifest import Manifest

N_SAMPLES = 8
# What names a row, first choice first; the others are too few rows' own to tell them apart.
ROW_IDS = ("pair_id", "segment_id", "prompt_id", "url")
TEXT_COLUMNS = ("instruction", "header", "output", "text", "url")


@dataclass(frozen=True)
class RowChanges:
    """Rows of dataset `key` gained and lost from A to B, by id column.

    changed: rows in both with other content; None where that can no longer be told. samples: id →
    the beginning of its text, or empty where the text is gone.
    """

    key: str
    a: Artefact | None
    b: Artefact | None
    id_column: str
    n_gained: int
    n_lost: int
    n_kept: int
    n_changed: int | None
    gained: Mapping[str, str]
    lost: Mapping[str, str]


@dataclass(frozen=True)
class Difference:
    """One entry that differs; None where a side does not have it."""

    name: str
    a: Any
    b: Any


@dataclass(frozen=True)
class Comparison:
    """A and B, everything in the direction from A to B.

    recipe: None where a side's recipe was not kept.
    """

    a: Artefact
    b: Artefact
    same_content: bool
    rows: tuple[RowChanges, ...]
    recipe: tuple[Difference, ...] | None
    figures: tuple[Difference, ...]
    provenance: tuple[Difference, ...]
    notes: tuple[str, ...] = ()


def compare(catalogue: Catalogue, a: Artefact, b: Artefact) -> Comparison:
    """Compare two versions of one dataset or model; for models also the rows they learned from.

    Raises ValueError if they are versions of different things.
    """
    if a.kind != b.kind:
        raise ValueError(f"{a.key} is a {a.kind} and {b.key} a {b.kind}; compare like with like.")
    notes: list[str] = []
    pairs = [(a, b)] if a.kind == "dataset" else list(_training_sets(catalogue, a, b, notes))
    rows = [_row_changes(left, right, notes) for left, right in pairs]
    recipes = [read_recipe(catalogue, artefact) for artefact in (a, b)]
    first, second = a.manifest(), b.manifest()
    return Comparison(
        a,
        b,
        a.content_hash == b.content_hash,
        tuple(change for change in rows if change is not None),
        _recipe_changes(a, b, recipes, notes),
        differences(figures_of(catalogue, a, first), figures_of(catalogue, b, second)),
        _provenance_changes(first, second),
        tuple(notes),
    )


def read_recipe(catalogue: Catalogue, artefact: Artefact) -> dict[str, Any] | None:
    """The recipe a version was made with, flat (`a.b` → value), or None if it was not kept."""
    path = catalogue.home / "recipes" / f"{artefact.facts.recipe_hash}.json"
    try:
        return dict(flatten(json.loads(path.read_text(encoding="utf-8"))))
    except (OSError, ValueError):
        return None


def flatten(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Leaves of nested mappings as dotted names."""
    if isinstance(value, Mapping) and value:
        for name, item in value.items():
            yield from flatten(item, f"{prefix}.{name}" if prefix else str(name))
    else:
        yield prefix, value


def differences(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Entries that are not the same in both, by name."""
    names = sorted({*a, *b})
    return tuple(Difference(n, a.get(n), b.get(n)) for n in names if a.get(n) != b.get(n))


def _training_sets(
    catalogue: Catalogue, a: Artefact, b: Artefact, notes: list[str]
) -> Iterator[tuple[Artefact | None, Artefact | None]]:
    for key in sorted({*a.inputs, *b.inputs}):
        sides = [
            catalogue.find(key, model.inputs[key], model.created) if key in model.inputs else None
            for model in (a, b)
        ]
        for model, side in zip((a, b), sides, strict=True):
            if key in model.inputs and side is None:
                notes.append(f"{key}: the version behind {model.version} is not known any more.")
        yield sides[0], sides[1]


def _row_changes(a: Artefact | None, b: Artefact | None, notes: list[str]) -> RowChanges | None:
    known = [artefact for artefact in (a, b) if artefact is not None]
    for artefact in known:
        if not has_rows(artefact):
            notes.append(f"{artefact.key} @ {artefact.version}: which rows it held is not known.")
            return None
    shared = [c for c in ROW_IDS if all(c in available_columns(x) for x in known)]
    if not shared:
        return None
    column = shared[0]
    ids = [_ids(artefact, column) for artefact in (a, b)]
    gained, lost = (
        left.join(right, on=column, how="anti") for left, right in ((ids[1], ids[0]), ids)
    )
    n_gained, n_lost, n_b = (
        frame.select(pl.len()).collect(engine="streaming").item()
        for frame in (gained, lost, ids[1])
    )
    return RowChanges(
        key=known[0].key,
        a=a,
        b=b,
        id_column=column,
        n_gained=n_gained,
        n_lost=n_lost,
        n_kept=n_b - n_gained,
        n_changed=_count_changed(a, b, column),
        gained=_samples(b, gained, column),
        lost=_samples(a, lost, column),
    )


def _ids(artefact: Artefact | None, column: str) -> pl.LazyFrame:
    if artefact is None:
        return pl.LazyFrame(schema={column: pl.String})
    return scan(artefact).select(pl.col(column).cast(pl.String)).unique()


def _count_changed(a: Artefact | None, b: Artefact | None, column: str) -> int | None:
    if a is None or b is None or not (a.is_whole and b.is_whole):
        return None
    if a.content_hash == b.content_hash:
        return 0
    shared = [c for c in a.columns if b.columns.get(c) == a.columns[c]]
    hashed = [
        scan(x).select(column, content=pl.struct(shared).hash()).unique(column, keep="any")
        for x in (a, b)
    ]
    both = hashed[0].join(hashed[1], on=column, suffix="_b")
    changed = both.filter(pl.col("content") != pl.col("content_b")).select(pl.len())
    return int(changed.collect(engine="streaming").item())


def _samples(artefact: Artefact | None, ids: pl.LazyFrame, column: str) -> dict[str, str]:
    if artefact is None:
        return {}
    chosen = ids.select(pl.col(column).bottom_k(N_SAMPLES)).collect(engine="streaming")[column]
    texts = [c for c in TEXT_COLUMNS if c in available_columns(artefact) and c != column]
    frame = scan(artefact).filter(pl.col(column).cast(pl.String).is_in(chosen.implode()))
    rows = frame.select(pl.col(column).cast(pl.String), *texts[:1]).unique(column).sort(column)
    return {str(row[0]): str(row[1] or "") if texts else "" for row in rows.collect().iter_rows()}


def _recipe_changes(
    a: Artefact, b: Artefact, recipes: list[dict[str, Any] | None], notes: list[str]
) -> tuple[Difference, ...] | None:
    if a.facts.recipe_hash == b.facts.recipe_hash:
        return ()
    if recipes[0] is None or recipes[1] is None:
        missing = (a if recipes[0] is None else b).facts
        notes.append(
            f"The recipes differ ({a.facts.recipe_hash} → {b.facts.recipe_hash}), but "
            f"{missing.recipe_hash or 'that of ' + missing.version} was not kept."
        )
        return None
    return differences(recipes[0], recipes[1])


def _provenance_changes(a: Manifest, b: Manifest) -> tuple[Difference, ...]:
    sides = [
        {
            f"{kind.replace('_', ' ')}: {name}": value
            for kind, entries in manifest.provenance.model_dump().items()
            for name, value in entries.items()
        }
        for manifest in (a, b)
    ]
    code = Difference("code version", a.code_version, b.code_version)
    return (*differences(*sides), *((code,) if a.code_version != b.code_version else ()))
