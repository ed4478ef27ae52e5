"""Long inference over shards: what is made already stays, the rest is shared out among engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

from humpback_pipeline.progress import OnProgress
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest, Origin

if TYPE_CHECKING:
    from humpback_pipeline.generation import TextGenerator

WriteShard = Callable[["TextGenerator", str, OnProgress], Manifest]


def write_shards(
    workspace: Workspace,
    model: str,
    origins: Mapping[str, Origin],
    write_shard: WriteShard,
    on_progress: OnProgress,
) -> Iterator[tuple[str, Manifest]]:
    """Yield (shard, manifest) of every shard in `origins`, those that are unchanged first.

    `model` answers; it is loaded once for each engine, and not at all if nothing is asked of it:
    all is in the ledger, or another model rates.
    """
    from humpback_pipeline.generation import for_each_shard

    pending = []
    for shard, origin in origins.items():
        if unchanged := workspace.unchanged_dataset(origin, shard):
            yield shard, unchanged
        else:
            pending.append(shard)
    path = workspace.models.path(model)
    yield from for_each_shard(
        pending,
        lambda slot: workspace.open_lazily(path, slot),
        write_shard,
        settings=workspace.recipe.generation,
        on_progress=on_progress,
    )
