"""Seed pairs, labelled pairs and evaluation prompts: reading, validating, deduplicating, splitting.

Plain Python over files of many formats; every refusal names file, line, field and remedy.
"""

from humpback_pipeline.seeds.evaluation_data import read_evaluation_prompts, read_labelled_pairs
from humpback_pipeline.seeds.files import find_data_files, seed_content_hash
from humpback_pipeline.seeds.frame import SEED_SCHEMA, seed_frame
from humpback_pipeline.seeds.reading import read_seed_pairs
from humpback_pipeline.seeds.records import (
    BadRecord,
    EvaluationPrompt,
    LabelledPair,
    SeedDataError,
    SeedPair,
    SeedPairs,
)

__all__ = [
    "SEED_SCHEMA",
    "BadRecord",
    "EvaluationPrompt",
    "LabelledPair",
    "SeedDataError",
    "SeedPair",
    "SeedPairs",
    "find_data_files",
    "read_evaluation_prompts",
    "read_labelled_pairs",
    "read_seed_pairs",
    "seed_content_hash",
    "seed_frame",
]
