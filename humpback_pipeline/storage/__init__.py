"""Datasets and models on disk: whole or not there, versioned, with their provenance."""

from humpback_pipeline.storage.atomic import (
    atomic_directory,
    remove_leftovers,
    write_json_atomic,
    write_text_atomic,
)
from humpback_pipeline.storage.datasets import DatasetStore, OutOfSpaceError, check_free_space
from humpback_pipeline.storage.file_hashes import FileHashes
from humpback_pipeline.storage.manifest import Manifest, Provenance, hash_file, hash_text
from humpback_pipeline.storage.models import ModelStore, NewModel, hash_model
from humpback_pipeline.storage.origin import Origin
from humpback_pipeline.storage.versions import NotMaterializedError, Versions

__all__ = [
    "DatasetStore",
    "FileHashes",
    "Manifest",
    "ModelStore",
    "NewModel",
    "NotMaterializedError",
    "Origin",
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
