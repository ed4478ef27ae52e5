"""Telling Dagster what the sources are: observations, checks, and alerts of what is wrong."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence

import dagster as dg
from dagster._core.definitions.data_version import DATA_VERSION_TAG

from humpback_pipeline.assets.reported_checks import CONTENT, last_evaluation, report_check
from humpback_pipeline.assets.sources import (
    SEED_DATA_KEY,
    SEED_DATA_VALID,
    WARC_FILES_PRESENT,
    WARC_FILES_READABLE,
    corpus_checks,
    look_at_seeds,
    seed_content,
    snapshot_metadata,
)
from humpback_pipeline.recipe import Recipe
from humpback_pipeline.recipe_operations import AlertOccasion
from humpback_pipeline.seeds import SeedDataError
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.warc_files import WarcShard
from humpback_pipeline.storage import Manifest


class SourceUnusableError(dg.DagsterError):
    """A source from outside cannot be used; the message says which, why, and how to mend it.

    Dagster shows its own errors as they are, so the tick says this and not where it was raised.
    """


def report_seed_data(instance: dg.DagsterInstance, workspace: Workspace) -> Manifest | None:
    """Validate the seed data and report them: check, observation with the diff, alert.

    Each content is read and reported once, however often this is called. Returns the snapshot of
    its pairs, or None while it is being written to. Raises SeedDataError when it cannot be used.
    """
    content = seed_content(workspace)
    last = last_evaluation(instance, SEED_DATA_KEY, SEED_DATA_VALID)
    if last and not last.passed and last.metadata[CONTENT].value == content:
        raise SeedDataError(last.description or "the seed data cannot be used")
    look = look_at_seeds(workspace)
    if seed_content(workspace) != content or look.content != content:
        return None
    is_new = report_check(instance, look.check)
    if look.snapshot is None:
        if is_new:
            _alert(workspace.recipe, "seed_data", "The seed data cannot be used", look.problem)
        raise SeedDataError(look.problem)
    _observe(instance, workspace, look.snapshot)
    return look.snapshot


def report_corpus(
    instance: dg.DagsterInstance,
    recipe: Recipe,
    shards: Sequence[WarcShard],
    refused: Mapping[str, str],
    log: logging.Logger,
) -> None:
    """Report WARC files that are gone or cannot be opened: check, log line, alert; each once."""
    titles = {
        WARC_FILES_PRESENT: "WARC files are gone",
        WARC_FILES_READABLE: "Files cannot be opened as WARC",
    }
    for check in corpus_checks(shards, refused):
        title = titles[str(check.check_name)]
        if report_check(instance, check) and not check.passed:
            details = refused.values() if check.check_name == WARC_FILES_READABLE else ()
            text = "\n".join([str(check.description), *details])
            log.warning(text)
            _alert(recipe, "corpus", title, text)


def _observe(instance: dg.DagsterInstance, workspace: Workspace, snapshot: Manifest) -> None:
    version = snapshot.facts["content_hash"]
    records = instance.fetch_observations(SEED_DATA_KEY, limit=1).records
    last = records[0].asset_observation if records else None
    if last is None or last.tags.get(DATA_VERSION_TAG) != version:
        metadata = snapshot_metadata(workspace, snapshot)
        instance.report_runless_asset_event(
            dg.AssetObservation(SEED_DATA_KEY, tags={DATA_VERSION_TAG: version}, metadata=metadata)
        )


def _alert(recipe: Recipe, occasion: AlertOccasion, title: str, text: str) -> None:
    from humpback_pipeline.alerts import send_alert

    send_alert(recipe, occasion, title, text)
