"""What the data are like: how many examples, how long they are (paper table 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from humpback_pipeline.stages.augmentation import augmented_set_names
from humpback_pipeline.stages.iteration_names import curated_set_name
from humpback_pipeline.stages.seed import SEED_PAIRS
from humpback_pipeline.stages.workspace import Workspace
from humpback_pipeline.storage import Manifest

DATA_STATISTICS = "data_statistics"


def write_data_statistics(workspace: Workspace, shards: Sequence[str]) -> Manifest:
    """Examples and lengths of seeds, augmented set and curated sets (paper table 1).

    Columns: those of `evaluation.data_statistics`. Facts: paper (the paper's rows, with the same
    columns), plot (PNG as a data URI).
    """
    from humpback_pipeline.evaluation import data_statistics, png_data_uri
    from humpback_pipeline.evaluation.statistics_plot import statistics_plot

    datasets = workspace.datasets
    names = [curated_set_name(t) for t in range(1, workspace.recipe.curation.iterations + 1)]
    augmented = augmented_set_names(workspace.recipe)
    origin = workspace.origin(
        DATA_STATISTICS,
        inputs=[
            *(datasets.manifest(name) for name in (SEED_PAIRS, *names)),
            *(m for name in augmented for m in datasets.manifests(name, shards)),
        ],
    )
    if unchanged := workspace.unchanged_dataset(origin):
        return unchanged
    frames = {
        SEED_PAIRS: datasets.scan(SEED_PAIRS),
        **{name: datasets.scan(name) for name in reversed(names)},
        **{name: datasets.scan_partitions(name, shards) for name in augmented},
    }
    table = data_statistics(frames)
    paper = paper_statistics()
    plot = png_data_uri(statistics_plot(table.to_dicts(), paper))
    return workspace.write_dataset(
        origin, table, table.schema, facts={"paper": paper, "plot": plot}
    )


def paper_statistics() -> list[dict[str, Any]]:
    """The paper's rows of the same table."""
    from humpback_pipeline.evaluation import PAPER_DATA_STATISTICS

    return [asdict(row) for row in PAPER_DATA_STATISTICS]
