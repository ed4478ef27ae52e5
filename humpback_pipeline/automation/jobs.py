"""Jobs: the whole graph, one iteration at a time, and what follows a change of the sources."""

from __future__ import annotations

import dagster as dg

from humpback_pipeline.assets.sources import CORPUS_CHECKS

ALL_JOB = "humpback"
AFTER_SEED_CHANGE = "after_seed_change"
AFTER_NEW_SHARD = "after_new_shard"

# The sensors report these themselves; in a run each would cost a process of its own.
_SOURCE_CHECKS = dg.AssetSelection.checks(*(spec.key for spec in CORPUS_CHECKS))
SEED_DEPENDANTS = dg.AssetSelection.assets("seed_pairs").downstream() - _SOURCE_CHECKS
CORPUS_ASSETS = dg.AssetSelection.assets("clueweb_segments", "corpus_selection") - _SOURCE_CHECKS

all_job = dg.define_asset_job(
    ALL_JOB,
    selection=dg.AssetSelection.all() - _SOURCE_CHECKS,
    description=(
        "The whole graph: seeds and crawl in, curated sets, models and report out. Pick all "
        "shards; what is up to date already is reused."
    ),
)
after_seed_change_job = dg.define_asset_job(
    AFTER_SEED_CHANGE,
    selection=SEED_DEPENDANTS,
    description=(
        "Everything that depends on the seed pairs, in order: pick all shards. The sensor "
        "seed_data_sensor launches it by itself."
    ),
)
after_new_shard_job = dg.define_asset_job(
    AFTER_NEW_SHARD,
    selection=CORPUS_ASSETS,
    description=(
        "Segments of a new or changed WARC file, and a new selection over all shards: pick one "
        "shard or a range. The sensor warc_shards_sensor launches it by itself."
    ),
)


def build_jobs(iterations: int) -> list[dg.UnresolvedAssetJobDefinition]:
    """One job for everything, one for each change of a source, one for each iteration."""
    jobs = [all_job, after_seed_change_job, after_new_shard_job]
    for iteration in range(iterations + 1):
        jobs.append(
            dg.define_asset_job(
                f"iteration_{iteration}",
                selection=dg.AssetSelection.groups(f"iteration_{iteration}"),
                description=(
                    "Train the seed model M_0."
                    if iteration == 0
                    else f"Rate with M_{iteration - 1}, select A^({iteration}), train on it: pick "
                    "all shards."
                ),
            )
        )
    return jobs
