"""Jobs: the whole graph, one iteration at a time, and what follows a change of the sources."""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg

from humpback_pipeline.assets.sources import CORPUS_CHECKS
from humpback_pipeline.automation.partitions import ABLATIONS_GROUP, BENCHMARKS_GROUP

ALL_JOB = "humpback"
ABLATIONS_JOB = "ablations"
BENCHMARKS_JOB = "benchmarks"
AFTER_SEED_CHANGE = "after_seed_change"
AFTER_NEW_SHARD = "after_new_shard"

# The sensors report these themselves; in a run each would cost a process of its own.
_SOURCE_CHECKS = dg.AssetSelection.checks(*(spec.key for spec in CORPUS_CHECKS))
# Ablations have partitions of their own, which cannot be in one run with those of shards; and both
# groups take longer than all the rest, so they are for those who ask for them.
_SEPARATE = dg.AssetSelection.groups(ABLATIONS_GROUP, BENCHMARKS_GROUP)
# The base model's answers depend on no seed, but what compares models with it waits for them.
SEED_DEPENDANTS = (
    (
        dg.AssetSelection.assets("seed_pairs").downstream()
        | dg.AssetSelection.assets("base_responses")
    )
    - _SEPARATE
    - _SOURCE_CHECKS
)
CORPUS_ASSETS = dg.AssetSelection.assets("clueweb_segments", "corpus_selection") - _SOURCE_CHECKS

all_job = dg.define_asset_job(
    ALL_JOB,
    selection=dg.AssetSelection.all() - _SEPARATE - _SOURCE_CHECKS,
    description=(
        "The whole graph: seeds and crawl in, curated sets, models and report out; without "
        "ablations and benchmarks, which have jobs of their own. Pick all shards; what is up to "
        "date already is reused."
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


ablations_job = dg.define_asset_job(
    ABLATIONS_JOB,
    selection=dg.AssetSelection.groups(ABLATIONS_GROUP),
    description=(
        "Train and judge the recipe's variants, then all of them side by side with the scaling "
        "curves: pick all variants. Run the job humpback before; what it made is read here."
    ),
)
benchmarks_job = dg.define_asset_job(
    BENCHMARKS_JOB,
    selection=dg.AssetSelection.groups(BENCHMARKS_GROUP),
    description=(
        "Benchmarks, safety and bias of all models, as the recipe names them. Run the job humpback "
        "before; its models are read here."
    ),
)


def build_jobs(
    iterations: int, groups: Collection[str] = ()
) -> list[dg.UnresolvedAssetJobDefinition]:
    """One job for everything, one for each change of a source, one for each iteration.

    groups: those with jobs of their own that the graph has.
    """
    jobs = [all_job, after_seed_change_job, after_new_shard_job]
    separate = {ABLATIONS_GROUP: ablations_job, BENCHMARKS_GROUP: benchmarks_job}
    jobs += [job for group, job in separate.items() if group in groups]
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
