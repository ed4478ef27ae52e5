"""Making an old version current again, so that Dagster knows and downstream turns stale."""

from collections.abc import Mapping

import dagster as dg
from dagster import AssetRecordsFilter
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    INPUT_DATA_VERSION_TAG_PREFIX,
    INPUT_EVENT_POINTER_TAG_PREFIX,
)
from filelock import FileLock, Timeout
from pydantic import Field

from humpback_pipeline.assets.metadata import manifest_metadata
from humpback_pipeline.automation.in_flight import work_in_flight
from humpback_pipeline.lineage import Catalogue
from humpback_pipeline.resources import WorkspaceResource
from humpback_pipeline.stages import Workspace
from humpback_pipeline.stages.ablation_models import asset_of
from humpback_pipeline.stages.workspace import RUN_LOCK
from humpback_pipeline.storage import Manifest

VERSION_METADATA = "version"
EVENTS_A_PAGE = 200
# How Dagster writes into an event what it was made from; its staleness is computed from these.
_ORIGIN_TAGS = (
    DATA_VERSION_TAG,
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    INPUT_DATA_VERSION_TAG_PREFIX,
    INPUT_EVENT_POINTER_TAG_PREFIX,
)


class BusyHomeError(RuntimeError):
    """A run is at work and would read half of its inputs before the change, half after."""


def republish(
    instance: dg.DagsterInstance,
    workspace: Workspace,
    asset: str,
    version: str,
    partition: str = "",
) -> Manifest:
    """Make a kept version of a dataset or model current; return its manifest.

    asset: its name, or name/partition. version: its name, a unique prefix, or `previous`. Raises
    UnknownArtefactError, UnknownVersionError or BusyHomeError.
    """
    key = f"{asset}/{partition}" if partition else asset
    if at_work := work_in_flight(instance):
        raise BusyHomeError(f"{at_work}; publish {key} when it has ended.")
    artefact = Catalogue(workspace.home).resolve(key, version)
    if artefact.kind == "model":
        versions = workspace.models.versions(artefact.name)
    else:
        versions = workspace.datasets.versions(artefact.name, artefact.partition)
    try:
        with FileLock(workspace.home / RUN_LOCK, timeout=0.5):
            return versions.publish(artefact.version)
    except Timeout as error:
        raise BusyHomeError(
            f"a run is at work in {workspace.home}; publish {key} when it has ended."
        ) from error


def republished_event(
    instance: dg.DagsterInstance, workspace: Workspace, manifest: Manifest
) -> dg.AssetMaterialization:
    """The event that tells Dagster: this asset's data are those of an older version again."""
    metadata = manifest_metadata(workspace, manifest)
    metadata["republished"] = dg.MetadataValue.text(
        f"An older version, made {manifest.created}, was made current again; nothing was computed."
    )
    asset, partition = asset_of(manifest.name, manifest.partition)
    return dg.AssetMaterialization(
        asset_key=asset,
        partition=partition,
        description=f"Version {manifest.version} was published again.",
        metadata=metadata,
        tags={
            DATA_VERSION_TAG: manifest.content_hash,
            DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
            **_origin_tags(instance, manifest),
        },
    )


def _origin_tags(instance: dg.DagsterInstance, manifest: Manifest) -> Mapping[str, str]:
    """Tags of the event that first reported this version; empty if it is not there any more.

    With them Dagster goes on telling whether the version is up to date with its own inputs.
    """
    asset, partition = asset_of(manifest.name, manifest.partition)
    wanted = AssetRecordsFilter(
        asset_key=dg.AssetKey(asset), asset_partitions=[partition] if partition else None
    )
    cursor = None
    while True:
        page = instance.fetch_materializations(wanted, limit=EVENTS_A_PAGE, cursor=cursor)
        for record in page.records:
            event = record.asset_materialization
            found = event.metadata.get(VERSION_METADATA) if event else None
            if event and found is not None and found.value == manifest.version:
                return {k: v for k, v in (event.tags or {}).items() if k.startswith(_ORIGIN_TAGS)}
        if not page.has_more:
            return {}
        cursor = page.cursor


class PublishVersionConfig(dg.Config):
    """Which old version becomes current again."""

    asset: str = Field(description="Name of a dataset or model, such as curated_set_1 or m1.")
    version: str = Field(
        default="previous",
        description="Version to publish: its name as on the asset's page (the metadata entry "
        "`version`), a unique beginning of it, or `previous`.",
    )
    partition: str = Field(default="", description="The shard, for an asset that has partitions.")


@dg.op(description="Replaces the pointer to the current version; computes and deletes nothing.")
def publish_kept_version(
    context: dg.OpExecutionContext, config: PublishVersionConfig, workspace: WorkspaceResource
) -> None:
    """Publish a kept version and report it as a materialisation of its asset."""
    opened = workspace.open()
    try:
        manifest = republish(
            context.instance, opened, config.asset, config.version, config.partition
        )
    except (LookupError, BusyHomeError) as error:
        raise dg.Failure(str(error), allow_retries=False) from error
    context.log_event(republished_event(context.instance, opened, manifest))
    context.log.info(f"{manifest.key}: version {manifest.version} is current")


@dg.job(
    executor_def=dg.in_process_executor,
    description=(
        "Makes an older version of a dataset or model current again, for example after a bad run. "
        "What was made from the newer one turns stale. Which versions are kept is on the asset's "
        "lineage page."
    ),
)
def publish_version() -> None:
    """Publish one kept version of one asset."""
    publish_kept_version()
