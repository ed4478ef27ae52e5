"""Scorers: ways to get a rating out of a model. One is chosen by name in the recipe."""

from __future__ import annotations

from dataclasses import dataclass

from humpback_pipeline.curation.calibrated import calibrated_scorer
from humpback_pipeline.curation.expected import expected_scorer
from humpback_pipeline.curation.external import external_scorer
from humpback_pipeline.curation.likelihood_scorers import (
    combined_scorer,
    completeness_scorer,
    relevance_scorer,
    weakest_link_scorer,
)
from humpback_pipeline.curation.reasoned import reasoned_scorer
from humpback_pipeline.curation.scoring import Scorer


@dataclass(frozen=True)
class ScorerKind:
    """A scorer and what it needs besides M_{t-1}.

    reference: human pairs to rank by, and M_yx. labels: a calibration fitted on labelled pairs.
    """

    rate: Scorer
    needs_reference: bool = False
    needs_labels: bool = False


SCORERS: dict[str, ScorerKind] = {
    "expected": ScorerKind(expected_scorer),
    "reasoned": ScorerKind(reasoned_scorer),
    "relevance": ScorerKind(relevance_scorer, needs_reference=True),
    "completeness": ScorerKind(completeness_scorer, needs_reference=True),
    "weakest_link": ScorerKind(weakest_link_scorer, needs_reference=True),
    "combined": ScorerKind(combined_scorer, needs_reference=True),
    "external": ScorerKind(external_scorer),
    "calibrated": ScorerKind(calibrated_scorer, needs_reference=True, needs_labels=True),
}


def find_scorer(name: str) -> ScorerKind:
    """The scorer of that name. Raises ValueError that lists them."""
    if name not in SCORERS:
        raise ValueError(f"unknown scorer {name!r}; there is: {', '.join(sorted(SCORERS))}")
    return SCORERS[name]
