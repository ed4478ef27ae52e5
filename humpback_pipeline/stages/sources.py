"""Observing the seed data: which content, which pairs, what an edit changed."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import humpback_pipeline
from humpback_pipeline.seeds import seed_content_hash
from humpback_pipeline.seeds.diff import SNAPSHOT_SCHEMA, diff_pairs, snapshot_frame
from humpback_pipeline.seeds.files import find_data_files
from humpback_pipeline.stages.code_versions import CODE_VERSIONS
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.warc_files import WarcShard
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import (
    Manifest,
    NotMaterializedError,
    Provenance,
    hash_file,
    hash_text,
)

SEED_DATA = "seed_data"
MAX_SAMPLE_CHARS = 300


def observe_seeds(workspace: Workspace) -> Manifest:
    """Keep a snapshot of the seed data's pairs (dataset `seed_data`) and what has changed.

    Columns: SNAPSHOT_SCHEMA. Facts: content_hash, settings, format, dropped, diff (None at the
    first look, else compared_with, added, removed, changed, samples). The same content read by the
    same settings is read once; then this returns the manifest there is. Raises SeedDataError.
    """
    content_hash = seed_content_hash(workspace.recipe.seed.path)
    known = _current(workspace, SEED_DATA)
    if known is not None and is_of(known, content_hash, workspace):
        return known
    read = workspace.read_seeds()
    frame = snapshot_frame(read.pairs)
    diff: dict[str, Any] | None = None
    if known is not None:
        found = diff_pairs(workspace.datasets.scan(SEED_DATA), frame.lazy())
        diff = {"compared_with": known.facts["content_hash"], **asdict(found)}
        diff["samples"] = [_shortened(sample) for sample in diff["samples"]]
    return workspace.datasets.write(
        SEED_DATA,
        frame,
        schema=SNAPSHOT_SCHEMA,
        sources=Provenance(seed_files={workspace.recipe.seed.path.name: read.content_hash}),
        facts={
            "content_hash": read.content_hash,
            "settings": seed_settings(workspace),
            "format": read.format,
            "dropped": dict(read.dropped),
            "diff": diff,
        },
    )


def is_of(snapshot: Manifest, content_hash: str, workspace: Workspace) -> bool:
    """Whether a snapshot shows this content as the recipe reads it today."""
    facts = snapshot.facts
    return (facts["content_hash"], facts["settings"]) == (content_hash, seed_settings(workspace))


def seed_settings(workspace: Workspace) -> str:
    """Hash of the recipe's fields that decide which pairs a content gives, or whether it is valid.

    A content that was refused under other settings has to be looked at again.
    """
    fields = workspace.recipe.seed.model_dump(mode="json", exclude={"path", "max_pairs"})
    return hash_text(json.dumps(fields, sort_keys=True))[:16]


def last_seed_change_s(workspace: Workspace) -> float:
    """When a seed file or its folder was last touched, in seconds since 1970; 0 if none is there.

    The time of the last change of the entry itself (ctime) counts as well: a file that is moved or
    copied into place keeps the modification time it had elsewhere.
    """
    path = workspace.recipe.seed.path
    if not path.exists():
        return 0.0
    entries = [path, *find_data_files(path)]
    return max(max(entry.stat().st_mtime, entry.stat().st_ctime) for entry in entries)


def seeds_read_last(workspace: Workspace) -> str | None:
    """Content hash of the seed data that `seed_pairs` was made from; None if it never was."""
    manifest = _current(workspace, SEED_PAIRS)
    return next(iter(manifest.provenance.seed_files.values()), None) if manifest else None


def sources_state(workspace: Workspace, shards: Iterable[WarcShard]) -> str:
    """Hash of all that shapes the whole graph: recipe, code, seeds, shards, prompts, evaluation.

    Equal states mean that a whole run would make the same again. Raises SeedDataError, OSError.
    """
    recipe = workspace.recipe
    measured_on = recipe.evaluation
    evaluation = (
        measured_on.prompts,
        measured_on.labelled_pairs,
        measured_on.hard_pairs,
        measured_on.preferences,
    )
    facts = {
        "recipe": recipe.content_hash(),
        "code": [humpback_pipeline.__version__, CODE_VERSIONS],
        "seeds": seed_content_hash(recipe.seed.path),
        "shards": {s.key: s.content_hash or s.recorded_hash or s.signature for s in shards},
        "prompts": dict(workspace.prompts.hashes()),
        "evaluation": [hash_file(path) for path in evaluation if path is not None],
        "base_model": _folder_signature(Path(recipe.base_model)),
    }
    return hash_text(json.dumps(facts, sort_keys=True))[:32]


def _folder_signature(path: Path) -> list[str]:
    """Names, sizes and times of a model's files; none for one that is fetched by name."""
    files = sorted(path.rglob("*")) if path.is_dir() else [path] if path.is_file() else []
    stats = [(file.name, file.stat()) for file in files if file.is_file()]
    return [f"{name} {status.st_size} {status.st_mtime_ns}" for name, status in stats]


def _current(workspace: Workspace, name: str) -> Manifest | None:
    try:
        return workspace.datasets.manifest(name)
    except NotMaterializedError:
        return None


def _shortened(sample: dict[str, Any]) -> dict[str, Any]:
    """A change with its texts cut: facts are read whole, a pair may hold a novel."""
    cut = {
        when: [text[:MAX_SAMPLE_CHARS] for text in sample[when]] if sample[when] else None
        for when in ("before", "after")
    }
    return {"change": sample["change"], **cut}
