"""Self-curation: rating pairs with a model, and selecting those rated high enough."""

from humpback_pipeline.curation.calibrated import calibrated_scorer, calibration_signals
from humpback_pipeline.curation.calibration import (
    Calibration,
    CalibrationError,
    fit_calibration,
    out_of_fold_probabilities,
    rating_of_probability,
)
from humpback_pipeline.curation.expected import expected_rating
from humpback_pipeline.curation.external import external_model_hash
from humpback_pipeline.curation.rating import human_pairs, rate_pairs, reference_of
from humpback_pipeline.curation.records import Pair, Rating
from humpback_pipeline.curation.reference import (
    MIN_REFERENCE_PAIRS,
    Reference,
    ReferencePairsError,
    check_enough_to_rank_by,
)
from humpback_pipeline.curation.scorers import SCORERS, find_scorer
from humpback_pipeline.curation.scoring import Raters, Scorer, Scoring
from humpback_pipeline.curation.selection import Selection, select_pairs
from humpback_pipeline.curation.signals import (
    SIGNALS,
    PairSignals,
    pair_signals,
    read_instructions,
)
from humpback_pipeline.curation.twins import SharedTexts
from humpback_pipeline.text.contamination import ContaminationIndex

__all__ = [
    "MIN_REFERENCE_PAIRS",
    "SCORERS",
    "SIGNALS",
    "Calibration",
    "CalibrationError",
    "ContaminationIndex",
    "Pair",
    "PairSignals",
    "Raters",
    "Rating",
    "Reference",
    "ReferencePairsError",
    "Scorer",
    "Scoring",
    "Selection",
    "SharedTexts",
    "calibrated_scorer",
    "calibration_signals",
    "check_enough_to_rank_by",
    "expected_rating",
    "external_model_hash",
    "find_scorer",
    "fit_calibration",
    "human_pairs",
    "out_of_fold_probabilities",
    "pair_signals",
    "rate_pairs",
    "rating_of_probability",
    "read_instructions",
    "reference_of",
    "select_pairs",
]
