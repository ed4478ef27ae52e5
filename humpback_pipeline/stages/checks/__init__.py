"""Checks of finished artefacts: plain functions from manifests and files to verdicts with numbers.

Dagster shows them as asset checks; a notebook calls them just as well. Which of them stop what
comes after is decided in `assets/checks.py`.
"""

from humpback_pipeline.stages.checks.augmentation import (
    check_augmented_not_empty,
    check_instruction_likelihood_rose,
    check_instructions_vary,
)
from humpback_pipeline.stages.checks.benchmarks import (
    check_safety_judge_follows,
    check_tasks_measured,
)
from humpback_pipeline.stages.checks.contamination import (
    check_evaluation_uncontaminated,
    check_seeds_not_in_evaluation,
)
from humpback_pipeline.stages.checks.corpus import (
    check_sample_reached,
    check_shard_read_whole,
    check_yield,
)
from humpback_pipeline.stages.checks.curated import (
    check_curated_set_usable,
    check_curated_set_varied,
)
from humpback_pipeline.stages.checks.datasets import check_row_change, check_schema_and_ids
from humpback_pipeline.stages.checks.evaluation import (
    check_every_prompt_judged,
    check_position_bias,
    check_responses_cut,
    check_responses_not_empty,
)
from humpback_pipeline.stages.checks.loading import check_loads_and_generates
from humpback_pipeline.stages.checks.losses import check_loss_fell, check_loss_is_sane
from humpback_pipeline.stages.checks.outcome import CheckOutcome, over_shards
from humpback_pipeline.stages.checks.pairs import (
    check_dropped_share,
    check_no_contamination,
    check_not_empty,
    check_seed_rows,
)
from humpback_pipeline.stages.checks.ratings import (
    check_rating_shift,
    check_ratings_discriminate,
    check_ratings_in_range,
    check_rubric_followed,
)

__all__ = [
    "CheckOutcome",
    "check_augmented_not_empty",
    "check_curated_set_usable",
    "check_curated_set_varied",
    "check_dropped_share",
    "check_evaluation_uncontaminated",
    "check_every_prompt_judged",
    "check_instruction_likelihood_rose",
    "check_instructions_vary",
    "check_loads_and_generates",
    "check_loss_fell",
    "check_loss_is_sane",
    "check_no_contamination",
    "check_not_empty",
    "check_position_bias",
    "check_rating_shift",
    "check_ratings_discriminate",
    "check_ratings_in_range",
    "check_responses_cut",
    "check_responses_not_empty",
    "check_row_change",
    "check_rubric_followed",
    "check_safety_judge_follows",
    "check_sample_reached",
    "check_schema_and_ids",
    "check_seed_rows",
    "check_seeds_not_in_evaluation",
    "check_shard_read_whole",
    "check_tasks_measured",
    "check_yield",
    "over_shards",
]
