"""The two checks that every dataset has."""

from collections.abc import Mapping, Sequence

import polars as pl

from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.checks import (
    CheckOutcome,
    check_row_change,
    check_schema_and_ids,
    over_shards,
)
from humpback_pipeline.storage import Manifest

DATASET_CHECKS = ("schema_and_ids", "row_count_change")


def dataset_checks(
    workspace: Workspace,
    manifest: Manifest,
    ids: Sequence[str],
    schema: Mapping[str, pl.DataType | type[pl.DataType]] | None = None,
) -> list[CheckOutcome]:
    """Columns, rows and ids of one version (`schema` None: as its manifest says), and its size."""
    datasets = workspace.datasets
    return [
        check_schema_and_ids(datasets, manifest, schema, ids),
        check_row_change(
            datasets.versions(manifest.name, manifest.partition),
            manifest,
            workspace.recipe.checks.max_row_change,
        ),
    ]


def shard_checks(
    workspace: Workspace,
    manifests: Mapping[str, Manifest],
    ids: Sequence[str],
    schema: Mapping[str, pl.DataType | type[pl.DataType]],
) -> list[CheckOutcome]:
    """The same over the shards of a run (shard → manifest), with a table by shard."""
    by_shard = {
        shard: dataset_checks(workspace, manifest, ids, schema)
        for shard, manifest in manifests.items()
    }
    return [
        over_shards({shard: outcomes[n] for shard, outcomes in by_shard.items()})
        for n in range(len(DATASET_CHECKS))
    ]
