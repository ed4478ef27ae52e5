"""When iterating ends: the recipe's stop rule, decided as each curated set is made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from humpback_pipeline.recipe_curation import StopRecipe
from humpback_pipeline.stages.iteration_names import curated_set_name, model_name
from humpback_pipeline.stages.workspace import Workspace

# In the facts of a curated set: which iteration ended it and why, or nothing.
STOPPED = "stopped"


@dataclass(frozen=True)
class Stop:
    """Iterating ends with this iteration.

    keep_last: the set and the model of the iteration before are carried on; otherwise this
    iteration's set is better, a model is trained on it, and that is the last.
    """

    iteration: int
    reason: str
    keep_last: bool

    def as_dict(self) -> dict[str, Any]:
        """The fields as JSON values."""
        return {"iteration": self.iteration, "reason": self.reason, "keep_last": self.keep_last}

    def __str__(self) -> str:
        return f"stopped at iteration {self.iteration} because {self.reason}"


def stopped_at(workspace: Workspace, iteration: int) -> int | None:
    """The iteration up to `iteration` at which iterating ended; None while it goes on.

    Read from the facts of the curated sets as they are now. Each tells of its own decision only, so
    what an older version of a later set says of an earlier one does not count.
    """
    if workspace.recipe.curation.stop is None:
        return None
    for earlier in range(2, iteration + 1):
        versions = workspace.datasets.versions(curated_set_name(earlier))
        if not versions.has_current():
            return None
        stop = versions.manifest().facts.get(STOPPED)
        if stop and stop["iteration"] == earlier:
            return earlier
    return None


def decide_stop(
    rule: StopRecipe | None,
    iteration: int,
    jaccard: float,
    quality: Mapping[str, Any],
    quality_before: Mapping[str, Any],
) -> Stop | None:
    """Whether the rule ends iterating at `iteration` ≥ 2.

    jaccard: of A^(t) with A^(t-1). quality, quality_before: precision on labelled pairs (None where
    none is rated high enough to tell) of this iteration's rater and of the one before.

    Sets that are nearly equal, and a precision that did not rise, keep the result of the iteration
    before. A gain too small to go on for is still taken.
    """
    if rule is None:
        return None
    if rule.min_jaccard is not None and jaccard >= rule.min_jaccard:
        reason = (
            f"A^({iteration}) overlaps with A^({iteration - 1}) by {jaccard:.3f} "
            f"(curation.stop.min_jaccard {rule.min_jaccard:g})"
        )
        return Stop(iteration, reason, keep_last=True)
    now, before = quality["precision"], quality_before["precision"]
    if rule.min_precision_gain is None or now is None or before is None:
        return None
    gain = now - before
    if gain >= rule.min_precision_gain:
        return None
    reason = (
        f"the precision of {model_name(iteration - 1)} on labelled pairs is {now:.3f}, that of "
        f"{model_name(iteration - 2)} was {before:.3f} (curation.stop.min_precision_gain "
        f"{rule.min_precision_gain:g})"
    )
    return Stop(iteration, reason, keep_last=gain <= 0)
