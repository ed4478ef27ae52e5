"""Datasets and models on disk: whole or not there, versioned, with their provenance."""

from humpback_pipeline.storage.atomic import (
    atomic_directory,
    remove_leftovers,
    write_json_atomic,
    write_text_atomic,
)
from humpback_pipeline.storage.datasets import DatasetStore, OutOfSpaceError, check_free_space
from humpback_pipeline.storage.manifest import Manifest, Provenance, hash_file, hash_text
from humpback_pipeline.storage.models import ModelStore, NewModel, hash_model
from humpback_pipeline.storage.versions import NotMaterializedError, Versions

__all__ = [
    "DatasetStore",
    "Manifest",
    "ModelStore",
    "NewModel",
    "NotMaterializedError",
    "OutOfSpaceError",
    "Provenance",
    "Versions",
    "atomic_directory",
    "check_free_space",
    "hash_file",
    "hash_model",
    "hash_text",
    "remove_leftovers",
    "write_json_atomic",
    "write_text_atomic",
]
