"""Dagster's handles on the plain parts."""

from humpback_pipeline.resources.workspace import WorkspaceResource, build_workspace

__all__ = ["WorkspaceResource", "build_workspace"]
