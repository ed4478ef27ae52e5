"""What every scorer is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from humpback_pipeline.chat import Prompts
from humpback_pipeline.curation.records import Pair, Rating
from humpback_pipeline.generation import Ledger, TextGenerator
from humpback_pipeline.progress import OnProgress, ignore_progress
from humpback_pipeline.recipe_curation import CurationRecipe

if TYPE_CHECKING:
    from humpback_pipeline.curation.calibration import Calibration
    from humpback_pipeline.curation.reference import Reference


@dataclass(frozen=True)
class Raters:
    """The models that rate: `forward` (M_{t-1}) and, for p(x | y), `backward` (M_yx).

    Without a backward model the forward one reads the backward prompt as well.
    """

    forward: TextGenerator
    backward: TextGenerator

    @classmethod
    def of(cls, forward: TextGenerator, backward: TextGenerator | None = None) -> Raters:
        """One model, or two."""
        return cls(forward, backward if backward is not None else forward)


@dataclass(frozen=True)
class Scoring:
    """How pairs are rated, whatever the scorer.

    reference: what likelihoods are ranked against; the scorers that rank raise ValueError without.
    calibration: of scorer `calibrated`, which cannot do without. ledger: where answers are kept as
    they come; each pass over the pairs has its own part of it. backward_ledger: of what M_yx reads,
    where that is kept apart because it does not change with M_{t-1}; else `ledger`. cache_dir:
    where models that scorers bring are fetched to; else below the working directory.
    """

    prompts: Prompts
    settings: CurationRecipe
    reference: Reference | None = None
    calibration: Calibration | None = None
    ledger: Ledger | None = None
    backward_ledger: Ledger | None = None
    chunk_size: int = 1_024
    on_progress: OnProgress = ignore_progress
    cache_dir: Path | None = None

    def ledger_of(self, part: str) -> Ledger | None:
        """The ledger of one pass, or None if none is kept."""
        return None if self.ledger is None else self.ledger.part(part)

    def backward_ledger_of(self, part: str) -> Ledger | None:
        """The ledger of one pass of M_yx."""
        kept = self.backward_ledger or self.ledger
        return None if kept is None else kept.part(part)


class Scorer(Protocol):
    """Rates pairs, in their order, each with a number in [1, 5]."""

    def __call__(self, pairs: Sequence[Pair], raters: Raters, scoring: Scoring) -> list[Rating]:
        """Rate `pairs`."""
        ...
