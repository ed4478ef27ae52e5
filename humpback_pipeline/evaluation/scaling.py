"""How fast quality grows with data: the paper's scaling coefficient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ScalingFit:
    """The line w = alpha · ln(N) + intercept.

    alpha: percentage points of win rate gained each time the data grows e-fold.
    intercept: percent at N = 1. r_squared: share of the variance explained (1.0 for two sizes).
    n: points fitted.
    """

    alpha: float
    intercept: float
    r_squared: float
    n: int

    def predict(self, size: float) -> float:
        """Return the fitted win rate, in percent, at a data size (number of examples)."""
        return self.alpha * float(np.log(size)) + self.intercept


def scaling_coefficient(sizes: Sequence[float], win_rates: Sequence[float]) -> ScalingFit:
    """Fit win rate against the natural logarithm of the data size by least squares.

    sizes: numbers of training examples, positive, at least two of them different.
    win_rates: percent, one per size.

    Raises ValueError on unequal lengths, sizes that are not positive or not finite, fewer than two
    different sizes. Source: paper, section on data scaling efficiency, w = α·log N + C.
    """
    n = np.asarray(sizes, dtype=np.float64)
    w = np.asarray(win_rates, dtype=np.float64)
    if n.shape != w.shape or n.ndim != 1:
        raise ValueError(
            f"scaling_coefficient: {n.size} sizes but {w.size} win rates; give one win rate a size"
        )
    if not np.isfinite(n).all() or not np.isfinite(w).all() or (n <= 0).any():
        raise ValueError("scaling_coefficient: sizes must be positive and all values finite")
    if np.unique(n).size < 2:
        raise ValueError("scaling_coefficient: at least two different sizes are needed for a line")
    log_n = np.log(n)
    centred = log_n - log_n.mean()
    alpha = float(centred @ (w - w.mean()) / (centred @ centred))
    intercept = float(w.mean() - alpha * log_n.mean())
    residual = float(np.sum((w - alpha * log_n - intercept) ** 2))
    total = float(np.sum((w - w.mean()) ** 2))
    # A flat line through equal win rates explains everything there is to explain.
    r_squared = 1.0 - residual / total if total > 0 else 1.0
    return ScalingFit(alpha=alpha, intercept=intercept, r_squared=r_squared, n=int(n.size))
