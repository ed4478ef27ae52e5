"""How fast quality grows with data: the paper's scaling coefficient."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class ScalingFit:
    """The line w = alpha · ln(N) + intercept.

    alpha: percentage points of win rate gained each time the data grows e-fold.
    intercept: percent at N = 1. r_squared: share of the variance explained (1.0 for two sizes).
    n: points fitted. standard_error: of alpha, from how far the points scatter about the line; None
    for two points, which always lie on theirs.
    """

    alpha: float
    intercept: float
    r_squared: float
    n: int
    standard_error: float | None = None

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
    freedom = int(n.size) - 2
    scatter = float(np.sqrt(residual / freedom / (centred @ centred))) if freedom > 0 else None
    return ScalingFit(alpha, intercept, r_squared, int(n.size), scatter)


@dataclass(frozen=True)
class PromptInterval:
    """How far alpha would move with other prompts of the same kind, the models staying as they are.

    alpha: over these prompts. low, high: 95 %; both None for a single prompt. n_prompts: judged for
    every size.
    """

    alpha: float
    standard_error: float | None
    low: float | None
    high: float | None
    n_prompts: int


def alpha_over_prompts(sizes: Sequence[float], preferences: npt.ArrayLike) -> PromptInterval:
    """The scaling coefficient of each prompt alone, averaged, with Student's interval.

    sizes: numbers of training examples, at least two of them different. preferences: a row a size,
        a column a prompt, on AlpacaEval's scale (1.0 … 2.0); a prompt that lacks one (NaN) is left
        out everywhere.

    As alpha is a weighted sum of win rates, and a win rate a mean over prompts, alpha is the mean
    of the prompts' own; so all that the models' answers to one prompt have in common is allowed
    for. It says nothing of the luck of a training: for that, train with other seeds. Raises
    ValueError as `scaling_coefficient` does, and where no prompt was judged for every size.
    """
    from scipy.stats import t

    table = np.asarray(preferences, dtype=np.float64)
    whole = table[:, np.isfinite(table).all(axis=0)]
    if whole.shape[1] == 0:
        raise ValueError("alpha_over_prompts: no prompt was judged for every size")
    alpha = scaling_coefficient(sizes, (whole.mean(axis=1) - 1.0) * 100.0).alpha
    n = int(whole.shape[1])
    if n < 2:
        return PromptInterval(alpha, None, None, None, n)
    log_n = np.log(np.asarray(sizes, dtype=np.float64))
    weights = (log_n - log_n.mean()) / np.sum((log_n - log_n.mean()) ** 2)
    own = weights @ whole * 100.0
    error = float(own.std(ddof=1) / np.sqrt(n))
    half = float(t.ppf(0.975, n - 1)) * error
    return PromptInterval(alpha, error, alpha - half, alpha + half, n)
