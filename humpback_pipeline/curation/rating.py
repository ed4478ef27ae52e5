"""Self-curation, first half: rate pairs with a model (paper section 2.3)."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path

from humpback_pipeline.chat import Prompts, load_prompts
from humpback_pipeline.curation.calibration import Calibration
from humpback_pipeline.curation.records import Pair, Rating
from humpback_pipeline.curation.reference import Reference, check_enough_to_rank_by
from humpback_pipeline.curation.scorers import ScorerKind, find_scorer
from humpback_pipeline.curation.scoring import Raters, Scoring
from humpback_pipeline.curation.signals import pair_signals, read_instructions
from humpback_pipeline.generation import (
    LazyGenerator,
    Ledger,
    TextGenerator,
    model_directory,
    notebook_settings,
    open_generator,
)
from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe import GenerationRecipe
from humpback_pipeline.recipe_curation import CurationRecipe
from humpback_pipeline.recipe_section import PACKAGE_DIR

HUMAN_PAIRS = PACKAGE_DIR / "examples" / "seed_pairs.jsonl"
Model = TextGenerator | Path | str


def rate_pairs(
    pairs: Sequence[Pair],
    model: Model,
    scorer: str = "combined",
    *,
    backward_model: Model | None = None,
    reference: Reference | Sequence[Pair] | None = None,
    calibration: Calibration | None = None,
    curation: CurationRecipe | None = None,
    settings: GenerationRecipe | None = None,
    prompts: Prompts | None = None,
    ledger: Ledger | None = None,
    backward_ledger: Ledger | None = None,
    chunk_size: int | None = None,
    cache_dir: Path | None = None,
    on_progress: OnProgress = ignore_progress,
) -> list[Rating]:
    """Rate each pair on the five-point scale; one Rating a pair, in their order, all in [1, 5].

    model: an open TextGenerator, which stays open; or a directory (full model or adapter) or what a
        recipe's base_model accepts, for which an engine is started and closed again.
    backward_model: M_yx, likewise, for the scorers that read p(x | y); default: `model` does both.
    reference: human pairs that likelihoods are ranked against, or their signals under these very
        models; default: the seed pairs that come with the package.
    calibration: of scorer `calibrated`, see `fit_calibration`. curation: settings of the scorers.
    settings: of the engine; default: `notebook_settings()`, modest enough for a laptop.
    prompts: default: the bundled ones. ledger: where ratings are kept as they come, to resume;
        backward_ledger: where M_yx's readings are, if apart from them.

    Raises ValueError on an unknown scorer or a missing calibration, ReferencePairsError,
    GenerationError, EndpointError or BaseModelError.
    """
    kind = find_scorer(scorer)
    if not pairs:
        return []
    settings = settings or notebook_settings()
    scoring = Scoring(
        prompts=prompts or load_prompts(),
        settings=curation or CurationRecipe(),
        reference=reference if isinstance(reference, Reference) else None,
        calibration=calibration,
        ledger=ledger,
        backward_ledger=backward_ledger,
        chunk_size=chunk_size or settings.chunk_size,
        on_progress=on_progress,
        cache_dir=cache_dir,
    )
    if not kind.needs_reference:
        # Lazily: scorer 'external' asks another model.
        with _opened(model, settings, cache_dir, lazy=True) as generator:
            return kind.rate(pairs, Raters.of(generator), scoring)
    human = human_pairs()
    if reference is not None and not isinstance(reference, Reference):
        human = list(reference)
    return _rate_by_likelihood(
        pairs, human, (model, backward_model), kind, scoring, settings, cache_dir
    )


def human_pairs() -> list[Pair]:
    """The seed pairs that come with the package, written by people for this project."""
    lines = HUMAN_PAIRS.read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines if line.strip()]
    return [Pair(row["instruction"], row["output"]) for row in rows]


def reference_of(human: Sequence[Pair], raters: Raters, scoring: Scoring) -> Reference:
    """The signals of human pairs under these raters. Raises ReferencePairsError."""
    return Reference.of(found.as_dict() for found in pair_signals(human, raters, scoring))


def _rate_by_likelihood(
    pairs: Sequence[Pair],
    human: Sequence[Pair],
    models: tuple[Model, Model | None],
    kind: ScorerKind,
    scoring: Scoring,
    settings: GenerationRecipe,
    cache_dir: Path | None,
) -> list[Rating]:
    """Have M_yx read everything first, so that the two models need not be in memory at once."""
    model, backward_model = models
    if scoring.reference is None:
        check_enough_to_rank_by(len(human))
    with ExitStack() as stack:
        if scoring.ledger is None:  # one is needed to hand the readings on
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="humpback-ratings-"))
            scoring = replace(scoring, ledger=Ledger(Path(folder) / "ratings.jsonl"))
        of_human = replace(
            scoring,
            ledger=scoring.ledger_of("reference"),
            backward_ledger=scoring.backward_ledger_of("reference"),
        )
        backward = None
        if backward_model is not None:
            with _opened(backward_model, settings, cache_dir, lazy=True) as backward:
                read_instructions(pairs, backward, scoring)
                if scoring.reference is None:
                    read_instructions(human, backward, of_human)
        raters = Raters.of(stack.enter_context(_opened(model, settings, cache_dir)), backward)
        if scoring.reference is None:
            scoring = replace(scoring, reference=reference_of(human, raters, of_human))
        return kind.rate(pairs, raters, scoring)


@contextmanager
def _opened(
    model: Model, settings: GenerationRecipe, cache_dir: Path | None, *, lazy: bool = False
) -> Iterator[TextGenerator]:
    """An engine for `model`; one that was given open is left open."""
    if not isinstance(model, str | Path):
        with nullcontext(model) as generator:
            yield generator
    elif lazy and settings.engine != "endpoint":
        folder = model_directory(model, cache_dir)
        with LazyGenerator(folder, settings, cache_dir=cache_dir) as generator:
            yield generator
    else:
        with open_generator(model, settings, cache_dir=cache_dir) as generator:
            yield generator
