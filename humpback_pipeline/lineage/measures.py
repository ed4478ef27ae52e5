"""Figures of a version: the numbers of its own making, and what evaluations say of a model."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.catalogue import Catalogue
from humpback_pipeline.storage.manifest import Manifest

# Rows of an evaluation's facts name the model they are about in one of these fields.
SUBJECT_FIELDS = ("model", "rater")


def figures_of(
    catalogue: Catalogue, artefact: Artefact, manifest: Manifest | None = None
) -> dict[str, float]:
    """Name → number: rows, numeric facts, and for a model its evaluations."""
    manifest = manifest or artefact.manifest()
    figures = dict(_numbers(manifest.facts))
    if manifest.rows is not None:
        figures["rows"] = manifest.rows
    if artefact.kind == "model":
        figures.update(evaluations_of(catalogue, artefact))
    return figures


def evaluations_of(catalogue: Catalogue, model: Artefact) -> dict[str, float]:
    """What the newest evaluations made from exactly this model say: `win_rates.rate` → 37.5."""
    direct = catalogue.users(model.key, model.content_hash)
    second = [user for a in direct for user in catalogue.users(a.key, a.content_hash)]
    figures: dict[str, float] = {}
    for user in sorted((*direct, *second), key=lambda a: a.created):
        if user.kind != "dataset" or user.partition:
            continue
        for rows in user.manifest().facts.values():
            for row in rows if isinstance(rows, list) else ():
                if isinstance(row, Mapping) and _is_about(row, model.name):
                    figures.update({f"{user.name}.{n}": v for n, v in _numbers(row)})
    return figures


def _is_about(row: Mapping[str, Any], model: str) -> bool:
    return any(row.get(field) == model for field in SUBJECT_FIELDS)


def _numbers(facts: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    for name, value in facts.items():
        if isinstance(value, Mapping):
            yield from _numbers(value, f"{prefix}{name}.")
        elif (
            isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        ):
            yield f"{prefix}{name}", value
