"""Self-curation: rating pairs with a model, and selecting those rated high enough."""

from humpback_pipeline.curation.decontamination import ContaminationIndex
from humpback_pipeline.curation.rating import rate_pairs
from humpback_pipeline.curation.records import Pair, Rating
from humpback_pipeline.curation.scorers import SCORERS, Scorer, expected_rating
from humpback_pipeline.curation.selection import Selection, select_pairs

__all__ = [
    "SCORERS",
    "ContaminationIndex",
    "Pair",
    "Rating",
    "Scorer",
    "Selection",
    "expected_rating",
    "rate_pairs",
    "select_pairs",
]
