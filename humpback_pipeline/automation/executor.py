"""The executor: a process for each step, forked from one that has the heavy modules loaded."""

from __future__ import annotations

import dagster as dg

# Importing these takes seconds each; a step forked from a server that did it once starts at once.
# None of them touches a GPU on import, which a fork could not share.
PRELOADED_MODULES = [
    "humpback_pipeline.definitions",
    "torch",
    "transformers",
    "trl",
    "peft",
    "vllm",
]


def build_executor() -> dg.ExecutorDefinition:
    """Dagster's multiprocess executor: memory returns as a step ends, a crash is contained."""
    return dg.multiprocess_executor.configured(
        {
            "max_concurrent": 2,
            "start_method": {"forkserver": {"preload_modules": PRELOADED_MODULES}},
        }
    )
