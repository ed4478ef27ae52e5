"""The models that are measured side by side: the base and every M_t."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from humpback_pipeline.stages.iteration_names import model_name
from humpback_pipeline.stages.responses import BASE
from humpback_pipeline.stages.workspace import Workspace


@dataclass(frozen=True)
class EvaluatedModel:
    """A model to evaluate; `content_hash` is of what answers, an adapter with its base."""

    name: str
    path: Path
    content_hash: str


def evaluated_models(workspace: Workspace) -> list[EvaluatedModel]:
    """The base model, then M_0 … M_T. Raises NotMaterializedError, BaseModelError."""
    from humpback_pipeline.generation.vllm_engine import served_hash

    paths = {BASE: workspace.base_model.path} | {
        model_name(t): workspace.models.path(model_name(t))
        for t in range(workspace.recipe.curation.iterations + 1)
    }
    return [
        EvaluatedModel(name, path, served_hash(path, workspace.cache_dir))
        for name, path in paths.items()
    ]


def compared_models(names: Sequence[str]) -> list[tuple[str, str]]:
    """Each model after the one before it, and the last after the first."""
    pairs = list(pairwise(names))
    return [*pairs, (names[0], names[-1])] if len(names) > 2 else pairs
