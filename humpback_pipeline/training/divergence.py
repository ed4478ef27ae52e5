"""Noticing a loss that explodes while it is still a number."""

from __future__ import annotations

from collections import deque
from statistics import median

from humpback_pipeline.recipe_training import DivergenceRecipe

WINDOW_STEPS = 20
FEWEST_STEPS = 5
# Below it a ratio says nothing: a model that has learnt its examples by heart goes up and down
# between hundredths of a nat.
FLOOR_NATS = 1.0


class LossWatch:
    """Compares each step's loss with the lowest running median so far.

    The lowest, as a loss that climbs slowly drags a running median along.
    """

    def __init__(self, settings: DivergenceRecipe) -> None:
        self._settings = settings
        self._losses: deque[float] = deque(maxlen=WINDOW_STEPS)
        self._begin: float | None = None
        self._lowest: float | None = None
        self._n_high = 0

    def begin(self, loss: float) -> None:
        """Take the held-out loss before training as what the first steps are measured by.

        Or the first step's, still of the untrained model, if that is higher: what is trained on may
        be harder than what is held out.
        """
        self._begin = loss

    def look(self, loss: float) -> str | None:
        """Take in the next step's loss; say what is wrong if it has exploded."""
        ratio = self._settings.loss_ratio
        if ratio is None:
            return None
        self._losses.append(loss)
        if self._begin is not None:
            self._lowest, self._begin = max(self._begin, loss), None
        if len(self._losses) >= FEWEST_STEPS:
            middle = median(self._losses)
            self._lowest = middle if self._lowest is None else min(self._lowest, middle)
        if self._lowest is None:
            return None
        limit = ratio * max(self._lowest, FLOOR_NATS)
        self._n_high = self._n_high + 1 if loss > limit else 0
        if self._n_high < self._settings.steps:
            return None
        return (
            f"the loss has been above {limit:.3g} for {self._n_high} steps and is {loss:.4g}, "
            f"after a running median of {self._lowest:.3g} (training.divergence)"
        )
