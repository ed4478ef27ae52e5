"""Self-curation, first half: rate pairs with a model (paper section 2.3)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from humpback_pipeline.chat import Prompts, load_prompts
from humpback_pipeline.curation.records import Pair, Rating
from humpback_pipeline.curation.scorers import find_scorer
from humpback_pipeline.generation import (
    Ledger,
    TextGenerator,
    notebook_settings,
    open_generator,
)
from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe import GenerationRecipe


def rate_pairs(
    pairs: Sequence[Pair],
    model: TextGenerator | Path | str,
    scorer: str = "expected",
    *,
    settings: GenerationRecipe | None = None,
    prompts: Prompts | None = None,
    ledger: Ledger | None = None,
    chunk_size: int | None = None,
    cache_dir: Path | None = None,
    on_progress: OnProgress = ignore_progress,
) -> list[Rating]:
    """Rate each pair on the five-point scale; one Rating a pair, in their order, all in [1, 5].

    model: an open TextGenerator, which stays open; or a directory (full model or adapter) or what a
        recipe's base_model accepts, for which an engine is started and closed again.
    settings: of that engine; default: `notebook_settings()`, modest enough for a laptop.
    prompts: default: the bundled ones. ledger: where ratings are kept as they come, to resume.

    Raises ValueError on an unknown scorer, GenerationError, EndpointError or BaseModelError.
    """
    rate = find_scorer(scorer)
    if not pairs:
        return []
    texts = prompts or load_prompts()
    settings = settings or notebook_settings()
    size = chunk_size or settings.chunk_size
    if not isinstance(model, str | Path):
        return rate(pairs, model, texts, ledger=ledger, chunk_size=size, on_progress=on_progress)
    with open_generator(model, settings, cache_dir=cache_dir) as generator:
        return rate(
            pairs, generator, texts, ledger=ledger, chunk_size=size, on_progress=on_progress
        )
