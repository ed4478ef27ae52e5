"""Dagster's handles on the plain parts."""

from humpback_pipeline.resources.no_objects import no_objects
from humpback_pipeline.resources.workspace import WorkspaceResource, build_workspace

__all__ = ["WorkspaceResource", "build_workspace", "no_objects"]
