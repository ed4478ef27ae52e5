"""Supervised finetuning with loss on the output tokens only (paper section 3.1)."""

from humpback_pipeline.training.budget import Budget, Schedule, budget_for, learning_rate_at, plan
from humpback_pipeline.training.checkpoints import remove_checkpoints
from humpback_pipeline.training.errors import TrainingDivergedError
from humpback_pipeline.training.events import OnEvent, TrainingEvent, ignore_event
from humpback_pipeline.training.examples import (
    BuiltExamples,
    TrainingExample,
    TrainingPair,
    build_examples,
)
from humpback_pipeline.training.mixture import Mixture, mix
from humpback_pipeline.training.result import TrainingResult
from humpback_pipeline.training.sft import train_model

__all__ = [
    "Budget",
    "BuiltExamples",
    "Mixture",
    "OnEvent",
    "Schedule",
    "TrainingDivergedError",
    "TrainingEvent",
    "TrainingExample",
    "TrainingPair",
    "TrainingResult",
    "budget_for",
    "build_examples",
    "ignore_event",
    "learning_rate_at",
    "mix",
    "plan",
    "remove_checkpoints",
    "train_model",
]
