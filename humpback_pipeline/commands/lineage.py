"""`lineage`, `compare` and `stale`: what came from what, and why something is out of date."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Set
from dataclasses import dataclass

from humpback_pipeline.lineage import Catalogue, StaleReader, ask, compare
from humpback_pipeline.lineage.text import (
    MAX_LINES,
    answer_lines,
    comparison_lines,
    stale_lines,
)
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.seeds import SeedDataError, seed_content_hash
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.warc_hashes import hash_until
from humpback_pipeline.web.shards import CorpusError

ALL = 1_000_000


@dataclass(frozen=True)
class SourcesNow:
    """Seed data and WARC files as they are now: name → content hash; shards, if readable."""

    hashes: Mapping[str, str]
    shards: Set[str] | None


def print_lineage(query: str, version: str = "", everything: bool = False) -> int:
    """Answer a query about a pair, page, shard, dataset or model."""
    for line in answer_lines(
        ask(open_catalogue(), query, version), ALL if everything else MAX_LINES
    ):
        print(line)
    return 0


def print_comparison(name: str, version_a: str, version_b: str, everything: bool = False) -> int:
    """Compare two versions of a dataset (or NAME/PARTITION) or model."""
    catalogue = open_catalogue()
    found = compare(
        catalogue, catalogue.resolve(name, version_a), catalogue.resolve(name, version_b)
    )
    for line in comparison_lines(found, ALL if everything else MAX_LINES):
        print(line)
    return 0


def print_stale(everything: bool = False) -> int:
    """Say of every stale current version why it is stale."""
    workspace = Workspace(load_recipe())
    now = sources_now(workspace)
    stale = StaleReader(Catalogue(workspace.home), now.hashes, now.shards).all_stale()
    for staleness in stale:
        for line in stale_lines(staleness, ALL if everything else MAX_LINES):
            print(line)
    print(f"{len(stale)} stale" if stale else "Nothing is stale.")
    return 0


def open_catalogue() -> Catalogue:
    """The catalogue of the recipe's home."""
    return Catalogue(Workspace(load_recipe()).home)


def sources_now(
    workspace: Workspace, only: Set[str] | None = None, budget_s: float = 86_400.0
) -> SourcesNow:
    """Hash the recipe's seed data and WARC files; one that was not touched is not read again.

    `only` names the shards whose files to hash; None: all. What cannot be read is left out: it is
    the business of preflight to complain. So is a file whose hash takes longer than `budget_s`;
    reading goes on for the next call.
    """
    hashes: dict[str, str] = {}
    seed_path = workspace.recipe.seed.path
    with contextlib.suppress(OSError, SeedDataError):
        hashes[seed_path.name] = seed_content_hash(seed_path)
    try:
        shards = workspace.shards()
        wanted = [key for key in shards if only is None or key in only]
        deadline_s = time.monotonic() + budget_s
        found = {key: hash_until(workspace, shards[key], deadline_s) for key in wanted}
        hashes.update({key: value for key, value in found.items() if value})
    except (OSError, CorpusError):
        return SourcesNow(hashes, None)
    return SourcesNow(hashes, set(shards))
