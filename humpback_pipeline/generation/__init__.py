"""Generation: engines that answer prompts, the ledger, self-augmentation and responses."""

from humpback_pipeline.generation.answering import choose_all, generate_all, likelihoods_all
from humpback_pipeline.generation.augment import AugmentedSegments, generate_instructions
from humpback_pipeline.generation.devices import EngineSlot, lease_devices
from humpback_pipeline.generation.endpoint_client import check_endpoint
from humpback_pipeline.generation.endpoint_errors import EndpointError
from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    EngineDiedError,
    Generation,
    GenerationError,
    GenerationRequest,
    Likelihood,
    LikelihoodRequest,
    TextGenerator,
    model_directory,
    notebook_settings,
    open_generator,
)
from humpback_pipeline.generation.lazy import LazyGenerator
from humpback_pipeline.generation.ledger import Ledger, LedgerBusyError, ledger_key
from humpback_pipeline.generation.parallel import for_each_shard
from humpback_pipeline.generation.respond import generate_responses
from humpback_pipeline.generation.resuming import answer_with_ledger
from humpback_pipeline.generation.streaming import Feed, Stream, in_batches

__all__ = [
    "AugmentedSegments",
    "ChoiceProbabilities",
    "EndpointError",
    "EngineDiedError",
    "EngineSlot",
    "Feed",
    "Generation",
    "GenerationError",
    "GenerationRequest",
    "LazyGenerator",
    "Ledger",
    "LedgerBusyError",
    "Likelihood",
    "LikelihoodRequest",
    "Stream",
    "TextGenerator",
    "answer_with_ledger",
    "check_endpoint",
    "choose_all",
    "for_each_shard",
    "generate_all",
    "generate_instructions",
    "generate_responses",
    "in_batches",
    "lease_devices",
    "ledger_key",
    "likelihoods_all",
    "model_directory",
    "notebook_settings",
    "open_generator",
]
