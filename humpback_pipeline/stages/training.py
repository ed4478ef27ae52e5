"""Finetuning as a stage: examples from datasets, one training, one version of a model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import polars as pl

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.training_process import train_in_own_process
from humpback_pipeline.stages.training_worker import TrainingWork
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, remove_leftovers

if TYPE_CHECKING:
    from humpback_pipeline.training import (
        Mixture,
        OnEvent,
        TrainingExample,
        TrainingPair,
        TrainingResult,
    )

Direction = Literal["forward", "backward"]


def train_and_save(
    workspace: Workspace,
    name: str,
    *,
    direction: Direction,
    curated_set: str | None = None,
    on_progress: OnProgress = ignore_progress,
    on_event: OnEvent | None = None,
) -> Manifest:
    """Finetune the base on the seeds' train split, plus a curated set, and save it as `name`.

    The held-out loss is taken on the seeds' dev split, before and after. One that was killed goes
    on from its last checkpoint, below `checkpoints/<name>` of the home. Raises what training
    raises; then nothing named `name` has changed.
    """
    from humpback_pipeline.training import remove_checkpoints

    recipe, base = workspace.recipe, workspace.base_model
    inputs = [workspace.datasets.manifest(SEED_PAIRS)]
    if curated_set is not None:
        inputs.append(workspace.datasets.manifest(curated_set))
    prompt = "backward" if direction == "backward" else "tags"
    origin = workspace.origin(
        name,
        inputs=inputs,
        sources=workspace.base_model_source().merged([workspace.prompt_sources(prompt)]),
        settings={"training": recipe.training.shaping(), "direction": direction},
    )
    if unchanged := workspace.unchanged_model(origin):
        return unchanged
    examples = _examples(workspace, direction, curated_set)
    workspace.save_recipe()
    remove_leftovers(workspace.models.versions(name).folder, older_than_s=0.0)
    checkpoint_dir = workspace.home / "checkpoints" / name
    logs = Path("tensorboard") / name / origin.fingerprint[:16]
    with workspace.models.new(
        name,
        inputs=origin.inputs,
        sources=origin.sources,
        fingerprint=origin.fingerprint,
        rows=examples.mixture.n_distinct,
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
            mixture=examples.mixture.facts(),
        )
        result = _train(work, examples.mixture.examples, examples.held_out, on_progress, on_event)
        model.facts.update(
            result.as_dict(),
            mixture=examples.n_pairs,
            mixture_uses=examples.mixture.facts(),
            examples_dropped=examples.dropped,
            tensorboard=logs.as_posix(),
        )
        if direction == "backward" and result.loss_after is not None:
            # The same figure by the name that it goes by where backward models are compared: mean
            # log-probability of a token of the dev seeds' instructions given their outputs.
            model.facts["held_out_instruction_logprob"] = -result.loss_after
    remove_checkpoints(checkpoint_dir)
    assert model.manifest is not None
    return model.manifest


@dataclass(frozen=True)
class _Examples:
    """What a model is trained on and measured with; n_pairs: dataset → pairs of it."""

    mixture: Mixture
    held_out: list[TrainingExample]
    n_pairs: dict[str, int]
    dropped: dict[str, int]


def _examples(workspace: Workspace, direction: Direction, curated_set: str | None) -> _Examples:
    from humpback_pipeline.models import load_tokenizer
    from humpback_pipeline.training import build_examples, mix

    recipe = workspace.recipe
    tokenizer = load_tokenizer(
        workspace.base_model.path, trust_remote_code=recipe.trust_remote_code
    )
    seeds = workspace.datasets.read(SEED_PAIRS)
    train = _pairs(seeds.filter(pl.col("split") == "train"), "seed")
    held_out = _pairs(seeds.filter(pl.col("split") == "dev"), "seed")
    curated = _pairs(workspace.datasets.read(curated_set), "web") if curated_set else []
    of_seeds, of_curated, dev = (
        build_examples(
            pairs,
            workspace.prompts,
            tokenizer,
            direction,
            recipe.training.max_tokens,
            recipe.training.over_length,
        )
        for pairs in (train, curated, held_out)
    )
    return _Examples(
        mixture=mix(
            of_seeds.examples,
            of_curated.examples,
            recipe.training.mixture,
            recipe.training.seed,
        ),
        held_out=dev.examples,
        n_pairs={SEED_PAIRS: len(train), **({curated_set: len(curated)} if curated_set else {})},
        dropped=dict(Counter(of_seeds.dropped_counts) + Counter(of_curated.dropped_counts)),
    )


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


def _pairs(frame: pl.DataFrame, origin: Literal["seed", "web"]) -> list[TrainingPair]:
    from humpback_pipeline.training import TrainingPair

    rows = frame.select("pair_id", "instruction", "output").iter_rows(named=True)
    return [TrainingPair(**row, origin=origin) for row in rows]
