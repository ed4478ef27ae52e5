"""Supervised finetuning with loss on the output tokens only (paper section 3.1)."""

from humpback_pipeline.training.budget import Budget, Schedule, budget_for, learning_rate_at, plan
from humpback_pipeline.training.checkpoints import remove_checkpoints
from humpback_pipeline.training.errors import TrainingDivergedError, TrainingMemoryError
from humpback_pipeline.training.events import OnEvent, TrainingEvent, ignore_event
from humpback_pipeline.training.examples import (
    BuiltExamples,
    TrainingExample,
    TrainingPair,
    build_examples,
)
from humpback_pipeline.training.fit import check_fits, free_room, whole_room
from humpback_pipeline.training.memory import MemoryEstimate, estimate_memory
from humpback_pipeline.training.mixture import Mixture, mix
from humpback_pipeline.training.model_shape import ModelShape, model_shape
from humpback_pipeline.training.result import TrainingResult
from humpback_pipeline.training.sft import train_model

__all__ = [
    "Budget",
    "BuiltExamples",
    "MemoryEstimate",
    "Mixture",
    "ModelShape",
    "OnEvent",
    "Schedule",
    "TrainingDivergedError",
    "TrainingEvent",
    "TrainingExample",
    "TrainingMemoryError",
    "TrainingPair",
    "TrainingResult",
    "budget_for",
    "build_examples",
    "check_fits",
    "estimate_memory",
    "free_room",
    "ignore_event",
    "learning_rate_at",
    "mix",
    "model_shape",
    "plan",
    "remove_checkpoints",
    "train_model",
    "whole_room",
]
