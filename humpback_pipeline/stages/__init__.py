"""The pipeline's stages as plain functions: read inputs, do one thing, write one artefact.

A stage takes a `Workspace` and returns the manifest of what it wrote. Dagster's assets call these;
so can a notebook.
"""

from humpback_pipeline.stages.workspace import Workspace

__all__ = ["Workspace"]
