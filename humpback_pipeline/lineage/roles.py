"""What a dataset is to the method, told by its columns, and the group it belongs to."""

from __future__ import annotations

import re
from typing import Literal

from humpback_pipeline.lineage.artefact import Artefact

Role = Literal["seeds", "segments", "selection", "augmented", "ratings", "curated", "other"]
# The order a pair goes through them.
ROLE_ORDER: tuple[Role, ...] = (
    "seeds",
    "segments",
    "selection",
    "augmented",
    "ratings",
    "curated",
    "other",
)
ROLE_TITLES: dict[Role, str] = {
    "seeds": "human seed pairs",
    "segments": "segments of a WARC file",
    "selection": "selection of segments",
    "augmented": "augmented pairs",
    "ratings": "ratings",
    "curated": "curated set",
    "other": "other data",
}
_COLUMNS: tuple[tuple[Role, frozenset[str]], ...] = (
    ("seeds", frozenset({"pair_id", "split"})),
    ("segments", frozenset({"segment_id", "url", "document_id"})),
    ("selection", frozenset({"segment_id", "kept", "reason"})),
    ("ratings", frozenset({"segment_id", "rating", "p1"})),
    ("curated", frozenset({"pair_id", "segment_id", "instruction"})),
    ("augmented", frozenset({"segment_id", "instruction"})),
)
# In the order of the work; `iteration` is that of all iterations after the first.
GROUP_SENTENCES: dict[str, str] = {
    "seed": "The human (instruction, output) pairs everything starts from.",
    "corpus": "Web pages cut into self-contained segments, without duplicates, then sampled.",
    "augmentation": "A backward model writes the instruction that each segment could answer.",
    "iteration_0": "The first model learns from the seeds alone.",
    "iteration": "The model before rates all pairs, the best form a curated set, and a new model "
    "learns from it and the seeds.",
    "evaluation": "How good models and selection are: win rates, precision and recall, a report.",
    "ablations": "Models that differ from the last one in one thing each, and how often they win.",
    "benchmarks": "Public benchmarks, safety prompts and bias, for every model.",
}
_GROUPS = (
    ("seed", r"seed_\w+"),
    ("corpus", r"clueweb_segments|corpus_selection"),
    ("augmentation", r"backward_model|augmented_set|dropped_instructions"),
    (
        "iteration",
        r"m(\d+)|(?:rater_calibration|curation_scores|curated_set|backward_model|augmented_set|dropped_instructions)"
        r"_(\d+)",
    ),
    ("ablations", r"ablation_.+|self_instruct_pairs|scaling"),
    ("benchmarks", r"benchmark_results|safety|safety_responses"),
)


def role_of(artefact: Artefact) -> Role:
    """Role of a dataset; a model has none but `other`."""
    columns = set(artefact.columns)
    return next((role for role, needed in _COLUMNS if needed <= columns), "other")


def group_of(name: str) -> str:
    """Group of an asset as the UI shows it: seed, corpus, augmentation, iteration_N, evaluation."""
    for group, pattern in _GROUPS:
        if match := re.fullmatch(pattern, name):
            numbers = [number for number in match.groups() if number]
            return f"{group}_{numbers[0]}" if numbers else group
    return "evaluation"
