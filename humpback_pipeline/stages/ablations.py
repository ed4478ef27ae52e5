"""A variant's pairs and its model, which may be one that is there already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe_ablations import AblationVariant
from humpback_pipeline.stages.ablation_data import write_ablation_data
from humpback_pipeline.stages.ablation_models import model_of
from humpback_pipeline.stages.ablation_names import ABLATION_DATA, ABLATION_MODEL, TaggedPairs
from humpback_pipeline.stages.self_instruct import write_self_instruct_pairs
from humpback_pipeline.stages.training import train_and_save
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

if TYPE_CHECKING:
    from humpback_pipeline.training import OnEvent


def train_ablation(
    workspace: Workspace,
    name: str,
    variant: AblationVariant,
    shards: Sequence[str],
    on_progress: OnProgress = ignore_progress,
    on_event: OnEvent | None = None,
) -> tuple[Manifest, Manifest | None]:
    """Write a variant's pairs and train the base on them; return (pairs, model).

    Where nothing is trained the model is None; where another one is the same, it is that one (see
    `model_of`). Raises what its stages raise.
    """
    if variant.method == "train" and variant.source == "self_instruct":
        write_self_instruct_pairs(workspace, on_progress)
    data = write_ablation_data(workspace, name, variant, shards, on_progress)
    trained = model_of(workspace.recipe, name)
    if trained is None:
        return data, None
    if not trained.startswith(ABLATION_MODEL):  # one of the iterations'
        return data, workspace.models.manifest(trained)
    first = trained.removeprefix(f"{ABLATION_MODEL}_")
    if first != name:
        same = workspace.recipe.ablations.expanded()[first]
        write_ablation_data(workspace, first, same, shards, on_progress)
    model = train_and_save(
        workspace if variant.tags_in_training else with_tags(workspace, "none"),
        trained,
        direction="forward",
        pairs=TaggedPairs(ABLATION_DATA, first),
        on_progress=on_progress,
        on_event=on_event,
    )
    return data, model


def with_tags(workspace: Workspace, tags: str) -> Workspace:
    """The workspace with `both` system tags, the `seed` one, the `web` one, or `none`."""
    dropped = {"both": (), "seed": ("tag_web",), "web": ("tag_seed",)}
    without = dict.fromkeys(dropped.get(tags, ("tag_seed", "tag_web")))
    chat = workspace.recipe.chat.model_copy(update=without)
    return replace(workspace, recipe=workspace.recipe.model_copy(update={"chat": chat}))
