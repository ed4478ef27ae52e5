"""Iterative augmentation: the backward model trained anew on curated pairs, and what it gains.

The gain is measured where training measures its loss: on the seeds' dev split, which no model is
trained on. The held-out loss of a backward model is the mean negative log-likelihood of a token of
the human instruction, given its output.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.stages.augmentation import (
    BACKWARD_MODEL,
    backward_model_name,
    backward_model_names,
    train_backward_model,
)
from humpback_pipeline.stages.carrying import copy_model
from humpback_pipeline.stages.iteration_names import curated_set_name
from humpback_pipeline.stages.stopping import stopped_at
from humpback_pipeline.stages.training import train_and_save
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

if TYPE_CHECKING:
    from humpback_pipeline.training import OnEvent

BASE = "base"


@dataclass(frozen=True)
class InstructionLikelihood:
    """Held-out instructions under one model.

    logprob: mean natural log-probability of a token of the dev seeds' instructions given their
    outputs, end of turn included; higher is better. gain: over the model in the row before, in nats
    a token. n: instructions. None: nothing is held out.
    """

    model: str
    trained_on: str
    logprob: float | None
    gain: float | None
    n: int


def retrain_backward_model(
    workspace: Workspace,
    iteration: int,
    on_progress: OnProgress = ignore_progress,
    on_event: OnEvent | None = None,
) -> Manifest:
    """Train the M_yx of iteration t on seeds and A^(t-1), output → instruction, from the base.

    For t = 1, or where the recipe retrains nothing, that of the seeds alone; once iterating has
    ended, that of the iteration before.
    """
    name = backward_model_name(workspace.recipe, iteration)
    if name == BACKWARD_MODEL:
        return train_backward_model(workspace, on_progress, on_event)
    if stopped_at(workspace, iteration - 1) is not None:
        curated = workspace.datasets.manifest(curated_set_name(iteration - 1))
        before = backward_model_name(workspace.recipe, iteration - 1)
        return copy_model(workspace, name, before, [curated])
    return train_and_save(
        workspace,
        name,
        direction="backward",
        curated_set=curated_set_name(iteration - 1),
        on_progress=on_progress,
        on_event=on_event,
    )


def instruction_likelihoods(workspace: Workspace, last: str) -> list[InstructionLikelihood]:
    """The base, then each backward model up to the one named `last`, and what each has gained.

    Raises NotMaterializedError, and ValueError for a name that is no backward model of the recipe.
    """
    names = _models_up_to(workspace.recipe, last)
    manifests = [workspace.models.manifest(name) for name in names]
    facts = manifests[0].facts
    base = _negated(facts["loss_before"])
    rows = [InstructionLikelihood(BASE, "nothing of ours", base, None, facts["n_held_out"])]
    for name, manifest in zip(names, manifests, strict=True):
        facts = manifest.facts
        logprob, before = _negated(facts["loss_after"]), rows[-1].logprob
        gain = None if logprob is None or before is None else logprob - before
        mixture = ", ".join(f"{n} {what}" for what, n in facts["mixture"].items())
        rows.append(InstructionLikelihood(name, mixture, logprob, gain, facts["n_held_out"]))
    return rows


def _models_up_to(recipe: Recipe, last: str) -> list[str]:
    names = backward_model_names(recipe)
    return names[: names.index(last) + 1]


def _negated(loss: float | None) -> float | None:
    return None if loss is None else -loss
