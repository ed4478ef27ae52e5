"""Generation: engines that answer prompts, the ledger, self-augmentation and responses."""

from humpback_pipeline.generation.answering import choose_all, generate_all
from humpback_pipeline.generation.augment import AugmentedSegments, generate_instructions
from humpback_pipeline.generation.devices import EngineSlot, lease_devices
from humpback_pipeline.generation.endpoint_client import EndpointError, check_endpoint
from humpback_pipeline.generation.engine import (
    ChoiceProbabilities,
    Generation,
    GenerationError,
    GenerationRequest,
    TextGenerator,
    notebook_settings,
    open_generator,
)
from humpback_pipeline.generation.ledger import Ledger, LedgerBusyError
from humpback_pipeline.generation.parallel import for_each_shard
from humpback_pipeline.generation.respond import generate_responses

__all__ = [
    "AugmentedSegments",
    "ChoiceProbabilities",
    "EndpointError",
    "EngineSlot",
    "Generation",
    "GenerationError",
    "GenerationRequest",
    "Ledger",
    "LedgerBusyError",
    "TextGenerator",
    "check_endpoint",
    "choose_all",
    "for_each_shard",
    "generate_all",
    "generate_instructions",
    "generate_responses",
    "lease_devices",
    "notebook_settings",
    "open_generator",
]
