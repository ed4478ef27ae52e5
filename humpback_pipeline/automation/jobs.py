"""Jobs: the whole graph, and one iteration at a time."""

from __future__ import annotations

import dagster as dg

ALL_JOB = "humpback"


def build_jobs(iterations: int) -> list[dg.UnresolvedAssetJobDefinition]:
    """One job for everything, one for each iteration."""
    jobs = [
        dg.define_asset_job(
            ALL_JOB,
            selection=dg.AssetSelection.all(),
            description="The whole graph: seeds and crawl in, curated sets, models and report out.",
        )
    ]
    for iteration in range(iterations + 1):
        jobs.append(
            dg.define_asset_job(
                f"iteration_{iteration}",
                selection=dg.AssetSelection.groups(f"iteration_{iteration}"),
                description=(
                    "Train the seed model M_0."
                    if iteration == 0
                    else f"Rate with M_{iteration - 1}, select A^({iteration}), train on it."
                ),
            )
        )
    return jobs
