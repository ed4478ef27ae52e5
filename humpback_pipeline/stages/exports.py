"""Exports: the curated sets as files for other tools, each with its card."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from humpback_pipeline.stages.export_cards import pairs_card
from humpback_pipeline.stages.iteration_names import curated_set_name
from humpback_pipeline.stages.pair_batches import pair_batches
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, check_free_space, hash_file, write_json_atomic
from humpback_pipeline.storage.replacing import replaced_directory

if TYPE_CHECKING:
    from humpback_pipeline.evaluation.exports import ExportedFile

EXPORTS = "exports"
TRAINING_SET = "training_set"
CARD, MANIFEST = "README.md", "exports.json"
EXPORTS_SCHEMA = {
    "dataset": pl.String,
    "format": pl.String,
    "path": pl.String,
    "n": pl.Int64,
    "bytes": pl.Int64,
    "sha256": pl.String,
}
_CURATED = ("pair_id", "instruction", "output", "rating", "url")
_SEEDS = ("pair_id", "instruction", "output", "split")


def exports_path(workspace: Workspace) -> Path:
    """Folder of the exports, one folder in it for each set."""
    return workspace.home / EXPORTS / "datasets" / workspace.recipe.name


def exported_sets(workspace: Workspace) -> list[str]:
    """Names of the sets that the recipe exports."""
    recipe = workspace.recipe
    names = [curated_set_name(t) for t in range(1, recipe.curation.iterations + 1)]
    return [*names, TRAINING_SET] if recipe.exports.training_set else names


def write_exports(workspace: Workspace) -> Manifest:
    """Write all sets in all formats, with a card each; the folder is replaced as a whole.

    Columns: `EXPORTS_SCHEMA`, a row for each file, `path` below `exports_path`; the same is in
    `exports.json` there. Raises NotMaterializedError, OutOfSpaceError.
    """
    recipe, datasets = workspace.recipe, workspace.datasets
    names = exported_sets(workspace)
    iterations = range(1, recipe.curation.iterations + 1)
    inputs = [datasets.manifest(curated_set_name(t)) for t in iterations]
    if TRAINING_SET in names:
        inputs.append(datasets.manifest(SEED_PAIRS))
    origin = workspace.origin(
        EXPORTS,
        inputs=inputs,
        sources=workspace.prompt_sources("tags") if recipe.exports.system_tags else None,
        settings={
            **recipe.exports.model_dump(mode="json", exclude={"hub"}),
            "languages": list(recipe.corpus.languages),
            "contaminated": recipe.seed.contaminated,
            # The cards show these, and equal rows can have others.
            "facts": [m.facts for m in inputs],
        },
    )
    root = exports_path(workspace)
    unchanged = workspace.unchanged_dataset(origin)
    if (
        unchanged is not None
        and written_from(root) == origin.fingerprint
        and _is_whole(root, datasets.read(EXPORTS))
    ):
        return unchanged
    stored = sum(path.stat().st_size for m in inputs for path in _parts(workspace, m))
    root.parent.mkdir(parents=True, exist_ok=True)
    check_free_space(root.parent, 12 * stored)  # uncompressed texts, in up to four formats
    rows: list[dict[str, Any]] = []
    with replaced_directory(root) as folder:
        for name in names:
            for file in _write_set(workspace, name, folder / name):
                path = folder / name / file.path
                rows.append(
                    {
                        "dataset": name,
                        "format": file.format,
                        "path": f"{name}/{file.path}",
                        "n": file.rows,
                        "bytes": path.stat().st_size,
                        "sha256": hash_file(path),
                    }
                )
        write_json_atomic(folder / MANIFEST, {"fingerprint": origin.fingerprint, "files": rows})
    table = pl.DataFrame(rows, schema=EXPORTS_SCHEMA)
    return workspace.write_dataset(
        origin, table, EXPORTS_SCHEMA, facts={"folder": root.relative_to(workspace.home).as_posix()}
    )


def written_from(root: Path) -> str | None:
    """Fingerprint of what the folder was written from; None if it does not say."""
    try:
        return str(json.loads((root / MANIFEST).read_text(encoding="utf-8"))["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write_set(workspace: Workspace, name: str, folder: Path) -> Iterator[ExportedFile]:
    from humpback_pipeline.evaluation.dataset_card import dataset_card
    from humpback_pipeline.evaluation.exports import ExportedFile, write_pairs

    exports, chat = workspace.recipe.exports, workspace.recipe.chat
    tags = {"seed": chat.tag_seed, "web": chat.tag_web} if exports.system_tags else {}
    folder.mkdir()
    files = write_pairs(folder, _batches(workspace, name), exports.formats, tags)
    yield from files
    last = curated_set_name(workspace.recipe.curation.iterations)
    card = pairs_card(
        workspace,
        name,
        curated=last if name == TRAINING_SET else name,
        seeds=name == TRAINING_SET,
        n_pairs=files[0].rows,
    )
    (folder / CARD).write_text(dataset_card(card), encoding="utf-8")
    yield ExportedFile("card", CARD, files[0].rows)


def _batches(workspace: Workspace, name: str) -> Iterator[pl.DataFrame]:
    if name == TRAINING_SET:
        for frame in pair_batches(workspace, SEED_PAIRS, _SEEDS):
            seeds = frame.filter(pl.col("split") == "train")
            yield seeds.with_columns(
                origin=pl.lit("seed"),
                rating=pl.lit(None, dtype=pl.Float64),
                url=pl.lit(None, dtype=pl.String),
            )
        name = curated_set_name(workspace.recipe.curation.iterations)
    for frame in pair_batches(workspace, name, _CURATED):
        yield frame.with_columns(origin=pl.lit("web"))


def _parts(workspace: Workspace, manifest: Manifest) -> Sequence[Path]:
    return sorted(workspace.datasets.versions(manifest.name).current().glob("*.parquet"))


def _is_whole(root: Path, table: pl.DataFrame) -> bool:
    """Whether the folder still has every file, each of its size, and no set beside them."""
    sizes = zip(table["path"], table["bytes"], strict=True)
    names = {path.name for path in root.iterdir() if path.is_dir()}
    return names == set(table["dataset"]) and all(
        (root / path).is_file() and (root / path).stat().st_size == size for path, size in sizes
    )
