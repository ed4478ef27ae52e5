"""Dagster's handles on the plain parts."""

from humpback_pipeline.resources.workspace import WorkspaceResource

__all__ = ["WorkspaceResource"]
