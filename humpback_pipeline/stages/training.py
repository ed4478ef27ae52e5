"""Finetuning as a stage: examples from datasets, one training, one version of a model."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.ablation_names import TaggedPairs
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.training_examples import (
    Direction,
    TrainingData,
    write_training_examples,
)
from humpback_pipeline.stages.training_process import train_in_own_process
from humpback_pipeline.stages.training_worker import TrainingWork
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Origin, remove_leftovers
from humpback_pipeline.storage.atomic import TEMPORARY_PREFIX

if TYPE_CHECKING:
    from humpback_pipeline.training import (
        OnEvent,
        TrainingExample,
        TrainingResult,
    )


def train_and_save(
    workspace: Workspace,
    name: str,
    *,
    direction: Direction,
    curated_set: str | None = None,
    pairs: TaggedPairs | None = None,
    on_progress: OnProgress = ignore_progress,
    on_event: OnEvent | None = None,
) -> Manifest:
    """Finetune the base on the seeds' train split, plus a curated set, and save it as `name`.

    With `pairs` on that dataset instead: its rows of origin `seed` are the seeds, the others the
    curated pairs.
    The held-out loss is taken on the seeds' dev split, before and after. One that was killed goes
    on from its last checkpoint, below `checkpoints/<name>` of the home. Raises what training
    raises; then nothing named `name` has changed.
    """
    from humpback_pipeline.training import remove_checkpoints

    recipe = workspace.recipe
    inputs = [workspace.datasets.manifest(SEED_PAIRS)]
    if curated_set is not None:
        inputs.append(workspace.datasets.manifest(curated_set))
    if pairs is not None:
        inputs.append(workspace.datasets.manifest(pairs.name, pairs.partition))
    prompt = "backward" if direction == "backward" else "tags"
    origin = workspace.origin(
        name,
        inputs=inputs,
        sources=workspace.base_model_source().merged([workspace.prompt_sources(prompt)]),
        settings={"training": recipe.training.shaping(), "direction": direction},
    )
    if unchanged := workspace.unchanged_model(origin):
        # As after a kill between the model's saving and this, or of a recipe tried in between.
        remove_checkpoints(workspace.home / "checkpoints" / name)
        return unchanged
    folder = workspace.models.versions(name).folder
    folder.mkdir(parents=True, exist_ok=True)
    remove_leftovers(folder, older_than_s=0.0)
    # Beside the model to be, whose leftovers are cleared away after a kill.
    with tempfile.TemporaryDirectory(
        prefix=f"{TEMPORARY_PREFIX}examples-{os.getpid()}-", dir=folder
    ) as scratch:
        data = write_training_examples(workspace, direction, Path(scratch), curated_set, pairs)
        workspace.save_recipe()
        return _train_on(data, workspace, name, origin, on_progress, on_event)


def _train_on(
    data: TrainingData,
    workspace: Workspace,
    name: str,
    origin: Origin,
    on_progress: OnProgress,
    on_event: OnEvent | None,
) -> Manifest:
    from humpback_pipeline.training import remove_checkpoints

    recipe, base = workspace.recipe, workspace.base_model
    checkpoint_dir = workspace.home / "checkpoints" / name
    logs = Path("tensorboard") / name / origin.fingerprint[:16]
    with workspace.models.new(
        name,
        inputs=origin.inputs,
        sources=origin.sources,
        fingerprint=origin.fingerprint,
        rows=data.mixture.n_distinct,
    ) as model:
        work = TrainingWork(
            base=base.path,
            settings=recipe.training,
            output_dir=model.folder,
            base_identity=base.facts(),
            stage=f"training {name}",
            trust_remote_code=recipe.trust_remote_code,
            checkpoint_dir=checkpoint_dir,
            log_dir=workspace.home / logs,
            mixture=data.mixture.facts(),
        )
        result = _train(work, data.mixture.examples, data.held_out, on_progress, on_event)
        model.facts.update(
            result.as_dict(),
            mixture=data.n_pairs,
            mixture_uses=data.mixture.facts(),
            examples_dropped=data.dropped,
            held_out_dropped=data.held_out_dropped,
            tensorboard=logs.as_posix(),
        )
        if origin.settings["direction"] == "backward" and result.loss_after is not None:
            # The same figure by the name that it goes by where backward models are compared: mean
            # log-probability of a token of the dev seeds' instructions given their outputs.
            model.facts["held_out_instruction_logprob"] = -result.loss_after
    remove_checkpoints(checkpoint_dir)
    assert model.manifest is not None
    return model.manifest


def _train(
    work: TrainingWork,
    examples: Sequence[TrainingExample],
    held_out: Sequence[TrainingExample],
    on_progress: OnProgress,
    on_event: OnEvent | None,
) -> TrainingResult:
    """Train on devices that nothing else of ours uses meanwhile, here or in other processes."""
    from humpback_pipeline.generation import lease_devices
    from humpback_pipeline.generation.devices import visible_gpus
    from humpback_pipeline.training import ignore_event, train_model

    on_event = on_event or ignore_event
    n, gpus = work.settings.distributed.processes, visible_gpus()
    if gpus and len(gpus) < n:
        raise ValueError(
            f"training.distributed.processes is {n}, but only {len(gpus)} GPUs are visible "
            f"({', '.join(gpus)}); lower it, or correct CUDA_VISIBLE_DEVICES"
        )
    with lease_devices(1, n) as (slot,), slot.in_this_process():
        if work.settings.own_process:
            return train_in_own_process(work, examples, held_out, slot, on_progress, on_event)
        return train_model(
            work.base,
            examples,
            held_out,
            work.settings,
            work.output_dir,
            on_progress=on_progress,
            on_event=on_event,
            **work.options(),
        )
