"""After iterating has ended: the last sets and models are carried on, nothing is redone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from humpback_pipeline.stages.iteration_names import calibration_name, curated_set_name, model_name
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, remove_leftovers
from humpback_pipeline.storage.manifest import MANIFEST_NAME

# In the facts of a dataset or a model: what it is a copy of.
CARRIED_FROM = "carried_from"


def is_carried(workspace: Workspace, iteration: int) -> bool:
    """Whether the curated set of this iteration is that of the one before."""
    facts = workspace.datasets.manifest(curated_set_name(iteration)).facts
    return facts.get(CARRIED_FROM) is not None


def carry_curated_set(workspace: Workspace, iteration: int) -> Manifest:
    """A^(t) := A^(t-1), rows and facts, once iterating has ended at an earlier iteration."""
    source = curated_set_name(iteration - 1)
    last = workspace.datasets.manifest(source)
    origin = workspace.origin(
        curated_set_name(iteration),
        inputs=[last],
        # Its rows can stay while what was decided about it changes.
        settings={CARRIED_FROM: source, "facts": dict(last.facts)},
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    rows = list(last.facts["iterations"])
    carried = {
        # Of the iteration that chose these rows: the one that ended iterating can have a worse
        # rater, whose set was not taken.
        **rows[last.facts["rows_of"] - 1],
        "iteration": iteration,
        **dict.fromkeys(("jaccard", "gained", "lost", "rating_correlation")),
        "note": f"{source} carried on",
    }
    frame = workspace.datasets.read(source)
    return workspace.write_dataset(
        origin,
        frame,
        dict(frame.schema),
        facts={
            **last.facts,
            CARRIED_FROM: source,
            "overlap": None,
            "iterations": [*rows, carried],
        },
    )


def carry_calibration(workspace: Workspace, iteration: int) -> Manifest:
    """M_{t-1}'s ratings of known pairs := M_{t-2}'s, where it is the same model carried on."""
    return carry_shard(
        workspace, calibration_name(iteration), calibration_name(iteration - 1), None
    )


def carry_shard(workspace: Workspace, name: str, source: str, shard: str | None) -> Manifest:
    """A shard's rows and facts of the iteration before, or all of them, as a version of its own."""
    last = workspace.datasets.manifest(source, shard)
    origin = workspace.origin(name, inputs=[last], settings={CARRIED_FROM: source})
    if unchanged := workspace.unchanged_dataset(origin, shard):
        return unchanged
    frame = workspace.datasets.read(source, shard)
    facts = {**last.facts, CARRIED_FROM: source}
    return workspace.write_dataset(origin, frame, dict(frame.schema), partition=shard, facts=facts)


def carry_model(workspace: Workspace, iteration: int) -> Manifest:
    """M_t := M_{t-1}, where the curated set is carried as well."""
    curated = workspace.datasets.manifest(curated_set_name(iteration))
    return copy_model(workspace, model_name(iteration), model_name(iteration - 1), [curated])


def copy_model(
    workspace: Workspace, name: str, source: str, decided_by: Sequence[Manifest]
) -> Manifest:
    """A version of its own whose files are hard links, or copies.

    Its facts are those of the training that made the files, and `carried_from`. decided_by: what
    says that nothing is to be trained.
    """
    last = workspace.models.manifest(source)
    origin = workspace.origin(name, inputs=[*decided_by, last], settings={CARRIED_FROM: last.name})
    if unchanged := workspace.unchanged_model(origin):
        return unchanged
    workspace.save_recipe()
    remove_leftovers(workspace.models.versions(name).folder, older_than_s=0.0)
    with workspace.models.new(
        name,
        inputs=origin.inputs,
        sources=origin.sources,
        fingerprint=origin.fingerprint,
        rows=last.rows,
    ) as model:
        shutil.copytree(
            workspace.models.versions(source).folder / last.version,
            model.folder,
            copy_function=_link_or_copy,
            ignore=shutil.ignore_patterns(MANIFEST_NAME),
            dirs_exist_ok=True,
        )
        # No time was spent on it: sums over models count each training once.
        spent = {"elapsed_s": 0.0, "training_s": 0.0}
        model.facts.update({**last.facts, **spent, CARRIED_FROM: source})
    assert model.manifest is not None
    return model.manifest


def _link_or_copy(source: str, target: str) -> str:
    # Versions are never changed in place, and giving one up unlinks its files.
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        return str(shutil.copy2(source, target))
    return str(Path(target))
