"""Which data went into which model, both ways, for current and for old versions."""

from humpback_pipeline.lineage.answers import Answer, NothingFoundError, ask, describe
from humpback_pipeline.lineage.artefact import Artefact
from humpback_pipeline.lineage.catalogue import Catalogue, UnknownArtefactError
from humpback_pipeline.lineage.compare import Comparison, compare
from humpback_pipeline.lineage.links import artefact_url
from humpback_pipeline.lineage.stale import Staleness, StaleReader
from humpback_pipeline.lineage.upstream import Node, downstream, upstream

__all__ = [
    "Answer",
    "Artefact",
    "Catalogue",
    "Comparison",
    "Node",
    "NothingFoundError",
    "StaleReader",
    "Staleness",
    "UnknownArtefactError",
    "artefact_url",
    "ask",
    "compare",
    "describe",
    "downstream",
    "upstream",
]
