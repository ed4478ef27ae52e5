"""The version of the code behind each artefact.

Raise a number when a change of code changes what its stage writes. A stage does its work again when
its number differs from the one its artefact was made with, and Dagster marks the asset stale. A
change that leaves the content alone, such as a faster loop, keeps the number: weeks of GPU time may
hang on it.
"""

from __future__ import annotations

import re

CODE_VERSIONS = {
    "seed_data": "1",
    "seed_pairs": "1",
    "clueweb_segments": "2",
    "corpus_selection": "2",
    "backward_model": "1",
    "augmented_set": "2",
    "dropped_instructions": "1",
    "rater_calibration": "2",
    "curation_scores": "2",
    "curated_set": "2",
    "m": "1",
    "responses": "1",
    "win_rates": "1",
    "selection_quality": "3",
    "data_statistics": "1",
    "instruction_diversity": "1",
    "report": "1",
}


def code_version(name: str) -> str:
    """Version of the code that writes the artefact `name`, of whatever iteration.

    Raises KeyError for an artefact without a version.
    """
    family = re.sub(r"^m\d+_(?=responses$)|_?\d+$", "", name)
    return CODE_VERSIONS[family]
