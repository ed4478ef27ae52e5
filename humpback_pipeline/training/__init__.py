"""Supervised finetuning with loss on the output tokens only (paper section 3.1)."""

from humpback_pipeline.training.budget import Budget, Schedule, budget_for, learning_rate_at, plan
from humpback_pipeline.training.errors import TrainingDivergedError
from humpback_pipeline.training.examples import (
    BuiltExamples,
    TrainingExample,
    TrainingPair,
    build_examples,
)
from humpback_pipeline.training.result import TrainingResult
from humpback_pipeline.training.sft import train_model

__all__ = [
    "Budget",
    "BuiltExamples",
    "Schedule",
    "TrainingDivergedError",
    "TrainingExample",
    "TrainingPair",
    "TrainingResult",
    "budget_for",
    "build_examples",
    "learning_rate_at",
    "plan",
    "train_model",
]
