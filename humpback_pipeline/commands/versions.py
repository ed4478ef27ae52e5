"""`versions` and `publish`: what versions there are, and making one of them current again."""

from __future__ import annotations

import dagster as dg

from humpback_pipeline.automation.publishing import republish, republished_event
from humpback_pipeline.commands.homes import bind_homes
from humpback_pipeline.commands.lineage import open_catalogue
from humpback_pipeline.lineage.text import version_lines
from humpback_pipeline.recipe import load_recipe
from humpback_pipeline.stages import Workspace


def print_versions(name: str, partition: str = "") -> int:
    """List all versions of a dataset or model, newest first."""
    catalogue = open_catalogue()
    for line in version_lines(catalogue.versions(f"{name}/{partition}" if partition else name)):
        print(line)
    return 0


def publish(name: str, version: str, partition: str = "") -> int:
    """Make a kept version current and report it to the Dagster instance."""
    bind_homes()
    workspace = Workspace(load_recipe())
    with dg.DagsterInstance.get() as instance:
        manifest = republish(instance, workspace, name, version, partition)
        instance.report_runless_asset_event(republished_event(instance, workspace, manifest))
    print(f"{manifest.key}: version {manifest.version} is current; `stale` lists what follows.")
    return 0
