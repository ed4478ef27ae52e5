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
    "curated_set": "3",
    "m": "1",
    "responses": "1",
    "base_responses": "1",
    "win_rates": "2",
    "contamination": "1",
    "exports": "1",
    "model_cards": "1",
    "selection_quality": "3",
    "data_statistics": "2",
    "instruction_diversity": "2",
    "length_histograms": "1",
    "head_to_head": "1",
    "improvement_over_seed": "1",
    "human_evaluation_pairs": "1",
    "human_evaluation": "1",
    "benchmark_results": "1",
    "safety_responses": "1",
    "safety": "1",
    "data_bias": "1",
    "report": "1",
    "self_instruct_pairs": "1",
    "ablation_data": "1",
    "ablation_model": "1",
    "ablation_responses": "1",
    "ablation_win_rate": "1",
    "scaling": "1",
}


def code_version(name: str) -> str:
    """Version of the code that writes the artefact `name`, of whatever iteration.

    Raises KeyError for an artefact without a version.
    """
    # A variant's name, which stands at the end, may end in a number too.
    name = re.sub(r"^ablation_model_.+", "ablation_model", name)
    family = re.sub(r"^m\d+_(?=responses$)|_?\d+$", "", name)
    return CODE_VERSIONS[family]
