"""A local page on which people judge blinded pairs; their judgements are files of their own."""

from humpback_pipeline.judging.queue import (
    AnnotatorNameError,
    BlindedPair,
    JudgingQueue,
    StalePairError,
    judged_by_others,
    judgements_file,
    read_pairs,
)
from humpback_pipeline.judging.server import ALLOWED_HOSTS, build_app

__all__ = [
    "ALLOWED_HOSTS",
    "AnnotatorNameError",
    "BlindedPair",
    "JudgingQueue",
    "StalePairError",
    "build_app",
    "judged_by_others",
    "judgements_file",
    "read_pairs",
]
